// Senders that behave as SDKs do: every event has its own message id, and a batch is sent again until it is taken.
// They remember what they sent, how they were answered, and what was acknowledged.
import assert from 'node:assert/strict'
import { request as httpRequest, Agent } from 'node:http'
import { pause } from './parts.mjs'
import { basic } from './server.mjs'

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** Sends from `senders` connections until `stop` is called. */
export class Load {
  constructor(server, writeKey, { senders = 6, people = 40, devices = 7, seed = 1, prefix = 'load', retries = true } = {}) {
    Object.assign(this, { server, writeKey, people, devices, prefix, retries })
    this.acknowledged = new Set()
    this.sent = new Set()
    this.again = 0
    /** How often each status was the answer; 0 is no whole answer. */
    this.answers = new Map()
    /** Answers of 429 and 503 that did not say when to come again. */
    this.withoutRetryAfter = 0
    this.stopping = false
    this.agent = new Agent({ keepAlive: true, maxSockets: senders })
    this.running = Array.from({ length: senders }, (_, sender) => this.#send(sender, random(seed * 1000 + sender)))
  }

  /** No new batches; gives when those under way have been taken. */
  async stop() {
    this.stopping = true
    await Promise.all(this.running)
    this.agent.destroy()
  }

  /** Ends whether or not what is under way was taken. */
  giveUp() {
    this.retries = false
    this.stopping = true
    this.agent.destroy()
  }

  async #send(sender, number) {
    for (let turn = 0; !this.stopping; turn++) {
      const batch = Array.from({ length: 1 + Math.floor(number() * 8) }, (_, at) => {
        const person = Math.floor(number() * this.people)
        const messageId = `${this.prefix}-${sender}-${turn}-${at}`
        this.sent.add(messageId)
        return {
          type: 'track', messageId, userId: `${this.prefix}-${person}`, anonymousId: `${this.prefix}-device-${person % this.devices}`,
          event: 'Loaded', properties: { turn, text: 'x'.repeat(Math.floor(number() * 300)) },
        }
      })
      if (!(await this.#untilTaken(JSON.stringify({ batch, sentAt: new Date().toISOString() })))) return
      for (const { messageId } of batch) this.acknowledged.add(messageId)
    }
  }

  /** Whether the batch was taken; only without retries can it fail. */
  async #untilTaken(body) {
    for (;;) {
      const { status, headers } = await this.#post(body)
      this.answers.set(status, (this.answers.get(status) ?? 0) + 1)
      if ((status === 429 || status === 503) && !(Number(headers['retry-after']) >= 1)) this.withoutRetryAfter++
      if (status === 200) return true
      if (status >= 400 && status < 500 && status !== 429) throw new Error(`a batch was refused with ${status}`)
      if (!this.retries) return false
      this.again++
      await pause(20)
    }
  }

  /** The answer to one try; its status is 0 where it did not come or was not whole. */
  #post(body) {
    const none = { status: 0, headers: {} }
    return new Promise(done => {
      const headers = { 'content-type': 'application/json', authorization: basic(this.writeKey), 'content-length': Buffer.byteLength(body) }
      const options = { method: 'POST', host: '127.0.0.1', port: this.server.port, path: '/v1/batch', headers, agent: this.agent, timeout: 20_000 }
      const request = httpRequest(options, response => {
        response.resume()
        response.on('end', () => done(response.complete ? { status: response.statusCode, headers: response.headers } : none))
        response.on('error', () => done(none))
        response.on('close', () => done(none))
      })
      request.on('timeout', () => request.destroy())
      request.on('error', () => done(none))
      request.end(body)
    })
  }
}

/** Everything acknowledged is in `clean.events` once, and nothing is there that was never sent. Gives how many events there are. */
export async function everythingIsThereOnce(server, load, source) {
  await server.kith('flush')
  const rows = await server.sql(`SELECT message_id FROM clean.events WHERE source = '${source}'`)
  const found = new Set(rows.map(row => row.message_id))
  assert.equal(found.size, rows.length, `${rows.length - found.size} events are there twice`)
  const lost = [...load.acknowledged].filter(id => !found.has(id))
  assert.deepEqual(lost.slice(0, 5), [], `${lost.length} of ${load.acknowledged.size} acknowledged events are lost`)
  const invented = [...found].filter(id => !load.sent.has(id))
  assert.deepEqual(invented, [])
  return rows.length
}
