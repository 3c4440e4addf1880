// What happened to the visitor's events before the page was loaded again, kept in the browser: the server tells what is, and
// not how it came to be.
import type { Arrival } from './types'

const PREFIX = 'kith-demo-journey-'
const KEPT = 80

/** The arrivals of one visitor, the oldest first. */
export class Memory {
  private readonly key: string
  private readonly kept: Arrival[]

  constructor(anonymousId: string) {
    this.key = PREFIX + anonymousId
    this.kept = read(this.key)
    for (const key of keys()) if (key !== this.key) attempt(() => localStorage.removeItem(key))
  }

  /** What is remembered. */
  get before(): readonly Arrival[] {
    return this.kept
  }

  /** Keeps an arrival. */
  keep(arrival: Arrival): void {
    this.kept.push(arrival)
    this.kept.splice(0, Math.max(0, this.kept.length - KEPT))
    attempt(() => localStorage.setItem(this.key, JSON.stringify(this.kept)))
  }
}

function keys(): string[] {
  return attempt(() => Object.keys(localStorage).filter((key) => key.startsWith(PREFIX))) ?? []
}

function read(key: string): Arrival[] {
  const kept: unknown = attempt(() => JSON.parse(localStorage.getItem(key) ?? '[]'))
  const isArrival = (one: unknown): one is Arrival =>
    typeof one === 'object' && one !== null && 'stage' in one && 'at' in one && 'messageId' in one
  return Array.isArray(kept) ? kept.filter(isArrival) : []
}

/** A browser may refuse to store: then nothing is remembered. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
