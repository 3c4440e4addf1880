// Builds the page into dist/: one style sheet, the script with the browser SDK bundled in, and the page itself.
// `npm run build` runs it. It fetches nothing.
import { build } from 'esbuild'
import { copyFile, mkdir, rm } from 'node:fs/promises'

await rm('dist', { recursive: true, force: true })
await mkdir('dist', { recursive: true })
await build({
  entryPoints: { shop: 'src/main.ts', style: 'src/style.css' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'],
  minify: true,
  legalComments: 'linked',
  define: { 'process.env.NODE_ENV': '"production"' },
  logLevel: 'info',
})
await copyFile('src/index.html', 'dist/index.html')
