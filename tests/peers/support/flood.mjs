// Senders that do not take no for an answer: each keeps a connection full of batches of 100 and comes again at once.
// They write to bare sockets, so that one process can offer many times what a server takes. Works with server.mjs.
import { connect } from 'node:net'
import { pause } from './parts.mjs'
import { basic } from './server.mjs'

const EVENTS = 100
const DIGITS = 8

/** A request of one batch in pieces: those that name the batch are written anew each time, the long ones between are shared. */
function template(server, writeKey, eventBytes) {
  const mark = 'N'.repeat(DIGITS)
  const filler = Buffer.from(`"note":"${'x'.repeat(eventBytes)}"}}`)
  const events = Array.from({ length: EVENTS }, (_, at) => Buffer.from(`${at ? ',' : '{"batch":['}{"type":"track","messageId":"flood-${mark}-${at}","userId":"user-${at * 37}","event":"Ordered","properties":{"total":${12.5 + at},"currency":"EUR","order":"o-${mark}",`))
  const end = Buffer.from(']}')
  const bytes = events.reduce((sum, event) => sum + event.length + filler.length, end.length)
  return { pieces: [...events.flatMap(event => [event, filler]), end], filler, head: Buffer.from(head(server, writeKey, bytes)), bytes, mark: Buffer.from(mark) }
}

const head = (server, writeKey, length) =>
  `POST /v1/batch HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\nauthorization: ${basic(writeKey)}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`

/** Floods a server until so many batches are acknowledged. */
export class Flood {
  constructor(server, writeKey, { connections, eventBytes, enough }) {
    Object.assign(this, { server, enough, next: 1, offered: 0, overloaded: 0, withoutRetryAfter: 0, dropped: 0 })
    this.template = template(server, writeKey, eventBytes)
    this.acknowledged = new Set()
    this.sent = new Set()
    this.sockets = new Set()
    this.ending = false
    this.running = Array.from({ length: connections }, () => this.#keepOn())
  }

  /** The bytes of one body. */
  get bodyBytes() {
    return this.template.bytes
  }

  /** Gives when the load has ended and every batch under way has been answered. */
  async ended() {
    await Promise.all(this.running)
  }

  /** Ends at once. */
  stop() {
    this.ending = true
    for (const socket of this.sockets) socket.destroy()
  }

  async #keepOn() {
    let again
    while (!this.ending) {
      const socket = connect(this.server.port, '127.0.0.1')
      this.sockets.add(socket)
      again = await this.#useUp(socket, again)
      socket.destroy()
      this.sockets.delete(socket)
      if (!this.ending) await pause(20)
    }
  }

  /** Sends over one connection until it ends; gives the batch that was not taken. */
  async #useUp(socket, again) {
    const answers = new Answers(socket)
    while (!this.ending) {
      const batch = again ?? this.next++
      again = batch
      this.#send(socket, batch)
      const answer = await answers.next()
      if (!answer) {
        if (!this.ending) this.dropped++
        return batch
      }
      if (answer.status === 200) {
        this.acknowledged.add(batch)
        if (this.acknowledged.size >= this.enough) this.ending = true
        again = undefined
      } else if (answer.status === 429) {
        this.overloaded++
        if (!(Number(answer.headers['retry-after']) >= 1)) this.withoutRetryAfter++
        await pause(10)
      } else {
        this.fault = `a batch was answered with ${answer.status}: ${answer.text}`
        this.ending = true
      }
    }
    return again
  }

  #send(socket, batch) {
    const number = String(batch).padStart(DIGITS, '0')
    const { pieces, head, filler, mark } = this.template
    this.sent.add(batch)
    this.offered++
    socket.cork()
    socket.write(head)
    for (const piece of pieces) socket.write(piece === filler ? piece : named(piece, mark, number))
    socket.uncork()
  }
}

function named(piece, mark, number) {
  const made = Buffer.from(piece)
  for (let at = made.indexOf(mark); at >= 0; at = made.indexOf(mark, at + DIGITS)) made.write(number, at, 'latin1')
  return made
}

/** Reads answers with a content length, one after the other. */
class Answers {
  constructor(socket) {
    this.text = ''
    socket.setEncoding('latin1')
    socket.setTimeout(60_000, () => socket.destroy())
    socket.on('data', text => ((this.text += text), this.#look()))
    socket.on('error', () => {})
    socket.on('close', () => ((this.closed = true), this.#look()))
  }

  /** The next answer; undefined where the connection ended before it. */
  next() {
    return new Promise(done => ((this.waiting = done), this.#look()))
  }

  #look() {
    const { waiting } = this
    if (!waiting) return
    const answer = this.#take()
    if (!answer && !this.closed) return
    this.waiting = undefined
    waiting(answer)
  }

  #take() {
    const end = this.text.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const [first, ...lines] = this.text.slice(0, end).split('\r\n')
    const headers = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
    const length = Number(headers['content-length'] ?? 0)
    if (this.text.length < end + 4 + length) return undefined
    const text = this.text.slice(end + 4, end + 4 + length)
    this.text = this.text.slice(end + 4 + length)
    return { status: Number(first.split(' ')[1]), headers, text }
  }
}

/** Connections that announce a body, send a part of it, and no more. */
export class Stall {
  static async open(server, writeKey, { connections, bytes }) {
    const stall = new Stall()
    const part = Buffer.from(head(server, writeKey, bytes * 2) + 'x'.repeat(bytes))
    stall.sockets = Array.from({ length: connections }, () => connect(server.port, '127.0.0.1').on('error', () => {}))
    // What a sender's own buffers hold back has not reached the server; most of it does.
    await Promise.all(stall.sockets.map(socket => Promise.race([new Promise(done => socket.write(part, done)), pause(2_000)])))
    return stall
  }

  close() {
    for (const socket of this.sockets) socket.destroy()
  }
}
