// A server under test: `kith serve` on a folder of its own, the commands that speak to it, and its end by signals.
// Works with parts.mjs. It ends only processes that it started, by their number.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { folder, freePort, kithBinary, run, startProcess, until, within } from './parts.mjs'

const READY_WITHIN = 60_000
const STOP_WITHIN = 60_000

/** A server, and whatever starts again on its folder and port. */
export class Server {
  constructor({ home, dataIn = home, port, args, env }) {
    this.home = home
    this.data = join(dataIn, 'data')
    this.port = port
    this.url = `http://127.0.0.1:${port}`
    this.key = `test-admin-${randomUUID()}`
    this.args = args
    this.env = env
    this.child = undefined
  }

  /** Starts the process and gives the milliseconds until `/readyz` said yes. */
  async start() {
    assert.equal(this.child, undefined, 'the server runs already')
    const begun = Date.now()
    const log = openSync(join(this.home, 'server.log'), 'a')
    const args = ['serve', '--data', this.data, '--http', `127.0.0.1:${this.port}`, ...this.args]
    const env = { ...process.env, KITH_ADMIN_KEY: this.key, KITH_LOG: process.env.KITH_LOG ?? 'info', ...this.env }
    const child = startProcess(kithBinary, args, { env, stdio: ['ignore', log, log] })
    closeSync(log)
    this.child = child
    this.ended = new Promise(done => child.once('exit', (code, signal) => done({ code, signal })))
    let end
    this.ended.then(found => (end = found))
    try {
      await until('the server to be ready', async () => {
        if (end) return true
        const response = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(5_000) })
        return response.status === 200
      }, { within: READY_WITHIN, every: 10 })
    } catch (error) {
      throw new Error(`${error.message}\n${await this.log()}`, { cause: error })
    }
    if (end) {
      this.child = undefined
      throw new Error(`the server ended with ${end.code ?? end.signal}:\n${await this.log()}`)
    }
    return Date.now() - begun
  }

  /** The last lines of what the server said. */
  async log(lines = 40) {
    const text = await readFile(join(this.home, 'server.log'), 'utf8').catch(() => '')
    return text.split('\n').slice(-lines).join('\n')
  }

  /** Asks the server to end, and sees it end well. */
  async stop() {
    const { child } = this
    if (!child) return
    this.child = undefined
    child.kill('SIGTERM')
    const end = await within(STOP_WITHIN, this.ended)
    if (!end) child.kill('SIGKILL')
    assert.ok(end, `the server did not end within ${STOP_WITHIN} ms of SIGTERM:\n${await this.log()}`)
    assert.deepEqual(end, { code: 0, signal: null }, await this.log())
  }

  /** Ends the process as a fault would: no warning, no last words. */
  async kill() {
    const { child } = this
    if (!child) return
    this.child = undefined
    child.kill('SIGKILL')
    await this.ended
  }

  /** Runs a command against this server and gives its exit code and output. */
  attempt(args, { env = {}, ...options } = {}) {
    return run(kithBinary, args, { env: { KITH_URL: this.url, KITH_KEY: this.key, ...env }, ...options })
  }

  /** Runs a command that must succeed and gives what it printed. */
  async kith(...args) {
    const options = typeof args.at(-1) === 'object' ? args.pop() : {}
    const { code, stdout, stderr } = await this.attempt(args, options)
    assert.equal(code, 0, `kith ${args.join(' ')}: ${stderr}${stdout}${code === 0 ? '' : await this.log()}`)
    return stdout
  }

  /** Makes a source and gives its write key. */
  async source(name, space = 'main') {
    return JSON.parse(await this.kith('source', 'create', name, '--space', space, '--json')).write_key
  }

  /** The rows of a statement. */
  async sql(statement, space = 'main') {
    const text = await this.kith('sql', statement, '--space', space, '--json')
    return text.split('\n').filter(Boolean).map(line => JSON.parse(line))
  }

  /** Applies definitions, given as YAML, and waits until they cover all history. */
  async apply(yaml, ...flags) {
    const file = join(this.home, `${randomUUID()}.yaml`)
    await writeFile(file, yaml)
    return this.kith('apply', '-f', file, '--wait', ...flags)
  }

  /** The person who has an identifier, or undefined. */
  async person(identifier, space = 'main') {
    const { code, stdout } = await this.attempt(['profile', 'get', identifier, '--space', space, '--json'])
    return code === 0 ? JSON.parse(stdout) : undefined
  }

  /** Waits until the person who has an identifier is as wanted. */
  personWhen(identifier, wanted, options) {
    return until(`${identifier} to be as wanted`, async () => {
      const person = await this.get(`/api/spaces/main/profiles/${encodeURIComponent(identifier)}`)
      return person.status === 200 && wanted(person.body) ? person.body : undefined
    }, options)
  }

  /** A request to the API with the administrator's key. The body is JSON where it is JSON. */
  async get(path, { key = this.key, method = 'GET', body, headers = {} } = {}) {
    const authorization = key ? { authorization: `Bearer ${key}` } : {}
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    const type = body === undefined ? {} : { 'content-type': 'application/json' }
    const signal = AbortSignal.timeout(60_000)
    const response = await fetch(this.url + path, { method, headers: { ...type, ...authorization, ...headers }, signal, ...sent })
    const text = await response.text()
    try {
      return { status: response.status, headers: response.headers, body: JSON.parse(text) }
    } catch {
      return { status: response.status, headers: response.headers, body: text }
    }
  }

  /** Sends one call through its door, as a server would, and sees it taken. */
  async send(writeKey, type, event) {
    const response = await fetch(`${this.url}/v1/${type}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: basic(writeKey) },
      body: JSON.stringify({ messageId: randomUUID(), ...event }),
      signal: AbortSignal.timeout(60_000),
    })
    const text = await response.text()
    assert.equal(response.status, 200, text)
    return JSON.parse(text)
  }
}

/** What a key looks like as a user name without a password. */
export const basic = key => `Basic ${Buffer.from(`${key}:`).toString('base64')}`

/**
 * A server on a fresh folder, which is ended and forgotten after the test. `dataIn` makes another folder for its data: what that
 * asks to happen after the test happens when the process has ended.
 */
export async function startServer(t, { args = [], env = {}, start = true, dataIn } = {}) {
  let server
  // What is to happen after a test happens in the order it was asked for: the process ends before its folder goes.
  t.after(() => server?.kill())
  server = new Server({ home: await folder(t), dataIn: await dataIn?.(), port: await freePort(), args, env })
  if (start) await server.start()
  return server
}
