// A real S3 server with a plain bucket and one with object lock: versitygw, on a free port of loopback. Works with parts.mjs.
import { connect } from 'node:net'
import { join } from 'node:path'
import { mkdir } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { folder, freePort, python, root, run, runPython, startProcess, until, versitygw } from './parts.mjs'

const ACCESS = { AWS_ACCESS_KEY_ID: 'kith-e2e', AWS_SECRET_ACCESS_KEY: 'kith-e2e-very-secret', AWS_REGION: 'us-east-1' }

/** A server over a folder, and whatever starts again on its folder and port. */
export class S3 {
  constructor(home, port) {
    Object.assign(this, { home, port, url: `http://127.0.0.1:${port}`, env: ACCESS, child: undefined })
  }

  async start() {
    const env = { ...process.env, ROOT_ACCESS_KEY: ACCESS.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: ACCESS.AWS_SECRET_ACCESS_KEY }
    const args = ['--port', `127.0.0.1:${this.port}`, 'posix', '--versioning-dir', join(this.home, 'versions'), join(this.home, 'objects')]
    this.child = startProcess(versitygw, args, { env, stdio: 'ignore' })
    let over = false
    this.ended = new Promise(done => this.child.once('exit', done)).then(() => (over = true))
    await until('the S3 server to listen', async () => over || (await listens(this.port)), { every: 10 })
    // What answers may be another that took the port meanwhile.
    if (over) throw new Error(`the S3 server on port ${this.port} has ended`)
  }

  /** Ends it as a fault would. */
  async kill() {
    const { child } = this
    if (!child) return
    this.child = undefined
    child.kill('SIGKILL')
    await this.ended
  }

  /** The file that holds an object. */
  file(bucket, path) {
    return join(this.home, 'objects', bucket, path)
  }

  /** Has an outsider with boto3 do something to a bucket, and gives what it saw. */
  outsider(bucket, prefix, what) {
    return runPython('raw/outsider.py', [this.url, bucket, prefix, what], { env: ACCESS })
  }
}

const listens = port =>
  new Promise(done => {
    const socket = connect(port, '127.0.0.1', () => (socket.destroy(), done(true)))
    socket.on('error', () => done(false))
  })

/** Starts one with the buckets `plain` and `locked`; it ends after the test. */
export async function startS3(t) {
  if (!existsSync(versitygw)) throw new Error(`the S3 server (tests/peers/install all) is missing at ${versitygw}`)
  let s3
  t.after(() => s3?.kill())
  const home = await folder(t, 'kith-s3-')
  await Promise.all(['objects', 'versions'].map(name => mkdir(join(home, name))))
  // A port that is free now may be another's by the time the server asks for it.
  for (let left = 4; ; left--) {
    s3 = new S3(home, await freePort())
    try {
      await s3.start()
      break
    } catch (error) {
      if (left === 0) throw error
      await s3.kill()
    }
  }
  const made = await run(python, [join(root, 'tests/peers/raw/make_buckets.py'), s3.url, 'plain', 'locked'], { env: ACCESS })
  if (made.code !== 0) throw new Error(made.stderr)
  return s3
}
