// Where the real parts are: the binary under test, the installed SDKs, Python with its packages, the browser.
// Every test file starts here. It installs nothing: `tests/peers/install all` does.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository. */
export const root = fileURLToPath(new URL('../../../', import.meta.url))
const cache = resolve(root, process.env.CACHE ?? '.cache')

/** The place of something that `tests/peers/install` put into the cache. */
export const cacheFile = path => join(cache, path)
/** The binary under test. */
export const kithBinary = resolve(root, process.env.KITH_BIN ?? join(process.env.CARGO_TARGET_DIR ?? 'target', 'debug', 'kith'))
/** Python with the packages of `tests/peers/requirements.txt`. */
export const python = process.env.KITH_PYTHON ?? join(cache, 'venv', 'bin', 'python')
/** The S3 server. */
export const versitygw = process.env.KITH_VERSITYGW ?? join(cache, 'bin', 'versitygw')
/** The program that sends with Segment's SDK for Go. */
export const segmentGo = join(cache, 'bin', 'segment-go')
/** The jars of Segment's SDK for Java, as Java's class path. */
export const javaLibraries = join(cache, 'java', 'lib', '*')
/** The browser. */
export const chromium = process.env.KITH_CHROMIUM ?? '/usr/bin/chromium'

/** Loads an installed package of Node. */
export const load = createRequire(join(cache, 'node', 'package.json'))
/** The place of a file of an installed package of Node. */
export const packageFile = path => join(cache, 'node', 'node_modules', path)
/** Loads a package that the shop page is built with. */
export const loadForPages = createRequire(join(root, 'web', 'shop', 'package.json'))

for (const [what, path] of [['the kith binary (cargo build -p kith)', kithBinary], ['Python (tests/peers/install all)', python]]) {
  if (!existsSync(path)) throw new Error(`${what} is missing at ${path}`)
}

/** Waits for a while; only ever between two looks at something. */
export const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds))

/** Gives `otherwise` where a promise has not come true in time. Unlike a bare timer it does not keep the process waiting. */
export function within(milliseconds, promise, otherwise) {
  let timer
  const late = new Promise(done => (timer = setTimeout(done, milliseconds, otherwise)))
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Looks again and again until `look` gives something that is not undefined, and gives that. Fails after `within`. */
export async function until(what, look, { within: limit = 40_000, every = 50 } = {}) {
  const deadline = Date.now() + limit
  let last
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
      last = undefined
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) throw new Error(`waited ${limit} ms in vain for ${what}`, { cause: last })
    await pause(every)
  }
}

/** An instant beyond whatever was received before, and before whatever is sent next. */
export async function instantBetween() {
  const now = Date.now()
  await until('the clock to go on', () => Date.now() > now + 2, { every: 1 })
  return new Date(now + 1).toISOString()
}

/** A folder that goes away after the test. */
export async function folder(t, name = 'kith-test-') {
  const made = await mkdtemp(join(tmpdir(), name))
  t.after(() => rm(made, { recursive: true, force: true, maxRetries: 5 }))
  return made
}

/** A port of loopback that nobody listens on at this moment. */
export function freePort() {
  return new Promise((done, failed) => {
    const server = createServer()
    server.once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => done(port))
    })
  })
}

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a program that goes on. It does not outlive the tests. */
export function startProcess(program, args, options) {
  const child = spawn(program, args, options)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Runs a program to its end. Gives its exit code and what it printed, whatever the code. */
export function run(program, args, { env = {}, input, timeout = 120_000, cwd = root } = {}) {
  return new Promise(done => {
    const options = { env: { ...process.env, ...env }, timeout, cwd, maxBuffer: 256 << 20, killSignal: 'SIGKILL' }
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0
      done({ code, stdout, stderr: error?.killed ? `${stderr}\nended after ${timeout} ms` : stderr })
    })
    child.stdin.on('error', () => {})
    child.stdin.end(input ?? '')
  })
}

/** Runs a program, which must end well, and reads the JSON that it prints. */
export async function runForJson(program, args, options) {
  const { code, stdout, stderr } = await run(program, args, options)
  if (code !== 0) throw new Error(`${[program, ...args].join(' ')} ended with ${code}:\n${stderr}\n${stdout}`)
  return JSON.parse(stdout)
}

/** Runs a Python script of this folder and reads the JSON that it prints. */
export const runPython = (script, args, options) => runForJson(python, [join(root, 'tests/peers', script), ...args], options)
