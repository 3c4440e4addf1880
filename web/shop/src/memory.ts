// What happened to the visitor's events before the page was loaded again, kept in the browser: the server tells what is, and
// not how it came to be. It keeps what is news only: a server that tells the present again is not remembered anew.
import { type Arrival, readChange } from './types'

const PREFIX = 'kith-demo-journey-'
const EVENTS_KEPT = 24
const CHANGES_KEPT = 60

interface Kept {
  /** Arrivals of events at raw, clean and profile. */
  events: Arrival[]
  /** Changes of segments. */
  changes: Arrival[]
  /** Message ids of the events that the page watched until their changes were told. */
  watched: string[]
}

/** The arrivals of one visitor of one world. */
export class Memory {
  private readonly key: string
  private readonly kept: Kept

  constructor(world: string, anonymousId: string) {
    this.key = `${PREFIX}${world}-${anonymousId}`
    this.kept = read(this.key)
    for (const key of keys()) if (key !== this.key) attempt(() => localStorage.removeItem(key))
  }

  /** What is remembered, each event before what it changed. */
  get before(): readonly Arrival[] {
    return [...this.kept.events, ...this.kept.changes]
  }

  /** Whether the page watched until it was told what the event changed. */
  wasWatched(messageId: string): boolean {
    return this.kept.watched.includes(messageId)
  }

  /** Keeps what reached raw, clean or profile, unless it is known. */
  keepEvent(arrival: Arrival): void {
    const { events } = this.kept
    if (events.some((one) => one.messageId === arrival.messageId && one.stage === arrival.stage)) return
    events.push(arrival)
    const known = [...new Set(events.map((one) => one.messageId))]
    const gone = new Set(known.filter((id) => !this.matters(id)).slice(0, Math.max(0, known.length - EVENTS_KEPT)))
    this.kept.events = events.filter((one) => !gone.has(one.messageId))
    this.kept.watched = this.kept.watched.filter((id) => !gone.has(id))
    this.write()
  }

  /** Keeps a change of a segment. */
  keepChange(arrival: Arrival): void {
    const { changes } = this.kept
    changes.push(arrival)
    // One who only stays longer is the first to be forgotten.
    const stays = changes.findIndex((one) => readChange(one.payload)?.change === 'renewed')
    if (changes.length > CHANGES_KEPT) changes.splice(Math.max(0, stays), 1)
    this.write()
  }

  /** Takes down that the page watched an event to its end. */
  keepWatched(messageId: string): void {
    if (this.wasWatched(messageId)) return
    this.kept.watched.push(messageId)
    this.write()
  }

  /** Whether it is the last order: views of the page must not crowd it out. */
  private matters(messageId: string): boolean {
    return this.kept.events.findLast((one) => one.event === 'Order Completed')?.messageId === messageId
  }

  private write(): void {
    attempt(() => localStorage.setItem(this.key, JSON.stringify(this.kept)))
  }
}

function keys(): string[] {
  return attempt(() => Object.keys(localStorage).filter((key) => key.startsWith(PREFIX))) ?? []
}

function read(key: string): Kept {
  const kept: unknown = attempt(() => JSON.parse(localStorage.getItem(key) ?? '{}'))
  const from = (typeof kept === 'object' && kept !== null ? kept : {}) as Record<string, unknown>
  const list = (name: string): unknown[] => (Array.isArray(from[name]) ? from[name] : [])
  return {
    events: list('events').filter(isArrival),
    changes: list('changes').filter((one): one is Arrival => isArrival(one) && readChange(one.payload) !== null),
    watched: list('watched').filter((one) => typeof one === 'string'),
  }
}

function isArrival(one: unknown): one is Arrival {
  return typeof one === 'object' && one !== null && 'stage' in one && 'at' in one && 'messageId' in one
}

/** A browser may refuse to store: then nothing is remembered. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
