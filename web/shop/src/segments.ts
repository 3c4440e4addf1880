// The segments that the visitor is in, with the time until they leave, and what led in and out. The server's clock
// decides: the time left is counted from the moment that the server named, and an exit shows only when it is told.
import { announce, fill, h } from './dom'
import { type Arrival, readChange } from './types'

interface Stay {
  segment: string
  until: number | null
  /** How long the time left was when the server last named it. */
  span: number
  /** This machine's clock less the server's, in milliseconds. */
  ahead: number
}

interface Line {
  /** Nothing where it is not known. */
  at: number | null
  text: string
  segment: string
  kind: 'entered' | 'left' | 'by-time'
}

const LINES_SHOWN = 5
/** The cause of an entry that was told as it is, not as it came to be. */
const PRESENT = 'present'
const MISSED = 'while this page did not watch'

/** The panel of the segments. */
export class Segments {
  readonly element: HTMLElement
  private readonly stays = new Map<string, Stay>()
  private readonly lines: Line[] = []
  private readonly featured = h('div', { class: 'featured' })
  private readonly chips = h('ul', { class: 'chips', 'aria-label': 'Other segments you are in' })
  private readonly log = h('ol', { class: 'changes' })
  private readonly bar = h('span')
  private readonly left = h('span', { class: 'left' })
  private leftByTime = false
  /** Segments that the visitor was in when last told, and of which this connection has said nothing yet. */
  private readonly unsure = new Set<string>()
  /** Whether the server is telling where the visitor is now. */
  private opening = false

  constructor(private readonly segment: string) {
    this.element = h(
      'section',
      { class: 'panel segments', 'aria-labelledby': 'segments-title' },
      h('h2', { id: 'segments-title' }, 'You are in'),
      this.featured,
      this.chips,
      this.log,
    )
    this.show()
    setInterval(() => this.tick(), 250)
  }

  /** Takes what arrived before the page was loaded again. */
  remember(before: readonly Arrival[]): void {
    for (const arrival of before) this.apply(arrival, arrival.at)
    this.show()
  }

  /** The server is about to tell where the visitor is now. */
  opened(): void {
    this.opening = true
    this.unsure.clear()
    for (const segment of this.stays.keys()) this.unsure.add(segment)
  }

  /** The server has told where the visitor is now: what it did not name, they left meanwhile. */
  told(): Arrival[] {
    this.opening = false
    const missed = [...this.unsure].map((segment): Arrival => {
      const until = this.stays.get(segment)?.until ?? null
      const byTime = until !== null && until <= Date.now()
      const explanation = byTime ? `${MISSED}, when your time was over` : MISSED
      const payload = { segment, change: 'exited', cause: byTime ? 'clock' : 'unknown', until: null, explanation }
      return { stage: 'segment', at: Date.now(), messageId: '', event: '', payload }
    })
    this.unsure.clear()
    for (const arrival of missed) this.apply(arrival, arrival.at)
    if (missed.length > 0) this.show()
    return missed
  }

  /** Takes an arrival that may change a segment, and gives what of it is news. */
  take(arrival: Arrival): Arrival | undefined {
    const change = readChange(arrival.payload)
    if (!change) return undefined
    // The present says since when of nothing, and belongs to no event.
    const isPresent =
      this.opening && change.change === 'entered' && change.cause === 'event' && arrival.messageId === ''
    const taken = isPresent ? { ...arrival, payload: { ...change, until: iso(change.until), cause: PRESENT } } : arrival
    const isNews = this.apply(taken, Date.now())
    if (isNews) announce(`You ${change.change === 'exited' ? 'left' : 'are in'} the segment ${change.segment}.`)
    this.show()
    return isNews ? taken : undefined
  }

  /** Takes an arrival at a moment of this machine's clock. */
  private apply(arrival: Arrival, now: number): boolean {
    const change = arrival.stage === 'segment' ? readChange(arrival.payload) : null
    if (!change) return false
    const byTime = change.cause === 'clock'
    const before = this.stays.get(change.segment)
    this.unsure.delete(change.segment)
    if (change.change === 'exited') {
      this.stays.delete(change.segment)
      if (change.segment === this.segment) this.leftByTime = byTime
      const why =
        ofYou(change.explanation) || (byTime ? 'only time went by' : `because of ${arrival.event || change.cause}`)
      const at = change.explanation.startsWith(MISSED) ? null : arrival.at
      this.note({ at, segment: change.segment, kind: byTime ? 'by-time' : 'left', text: `left: ${why}` })
      return true
    }
    const isPresent = change.cause === PRESENT
    const same = before !== undefined && before.until === change.until
    const span = same ? before.span : change.until === null ? 0 : change.until - arrival.at
    this.stays.set(change.segment, { segment: change.segment, until: change.until, span, ahead: now - arrival.at })
    if (before) return !same && !isPresent
    const why = ofYou(change.explanation) || arrival.event || change.cause
    this.note({
      at: isPresent ? null : arrival.at,
      segment: change.segment,
      kind: 'entered',
      text: isPresent ? `entered before this page watched: ${why}` : `entered: ${why}`,
    })
    return true
  }

  private note(line: Line): void {
    this.lines.unshift(line)
    this.lines.length = Math.min(this.lines.length, LINES_SHOWN)
  }

  /** Whether the visitor is in the segment that a purchase leads into. */
  get hasBought(): boolean {
    return this.stays.has(this.segment)
  }

  private show(): void {
    const stay = this.stays.get(this.segment)
    this.featured.dataset['state'] = stay ? 'in' : this.leftByTime ? 'left' : 'out'
    const name = h('b', { class: 'name' }, this.segment)
    if (stay) {
      fill(
        this.featured,
        h('div', { class: 'featured-head' }, name, this.left),
        h('div', { class: 'bar', 'aria-hidden': 'true' }, this.bar),
        h(
          'p',
          {},
          stay.until === null
            ? 'You stay until something happens.'
            : 'Do nothing. When this runs out you leave, because only time went by.',
        ),
      )
    } else if (this.leftByTime) {
      fill(
        this.featured,
        h('div', { class: 'featured-head' }, name, h('span', { class: 'left' }, 'left')),
        h('p', {}, 'You left, and nothing happened: no click, no event, only time going by. Buy again to come back.'),
      )
    } else {
      fill(
        this.featured,
        h('div', { class: 'featured-head' }, name, h('span', { class: 'left' }, 'not now')),
        h('p', {}, 'For whoever bought within the last minute.'),
      )
    }
    const others = [...this.stays.values()].filter((other) => other.segment !== this.segment)
    fill(
      this.chips,
      ...others.map((other) =>
        h(
          'li',
          { class: 'chip', 'data-segment': other.segment },
          h('b', { class: 'name' }, other.segment),
          h('span', { class: 'chip-left' }),
        ),
      ),
    )
    this.chips.hidden = others.length === 0
    fill(
      this.log,
      ...this.lines.map((line) =>
        h(
          'li',
          { class: line.kind },
          line.at !== null && h('time', {}, new Date(line.at).toLocaleTimeString('en-GB')),
          line.at !== null && ' ',
          h('b', { class: 'name' }, line.segment),
          ' ',
          line.text,
        ),
      ),
    )
    this.log.hidden = this.lines.length === 0
    this.tick()
  }

  /** Counts down. */
  private tick(): void {
    const featured = this.stays.get(this.segment)
    if (featured) {
      this.left.textContent = featured.until === null ? 'for now' : shown(remaining(featured))
      const share =
        featured.until === null || featured.span <= 0
          ? 1
          : Math.min(1, Math.max(0, remaining(featured) / featured.span))
      this.bar.style.transform = `scaleX(${share})`
    }
    for (const chip of this.chips.children) {
      const stay = chip instanceof HTMLElement ? this.stays.get(chip.dataset['segment'] ?? '') : undefined
      const slot = chip.lastElementChild
      if (stay && slot) slot.textContent = stay.until === null ? '' : shown(remaining(stay))
    }
  }
}

function iso(moment: number | null): string | null {
  return moment === null ? null : new Date(moment).toISOString()
}

/** The server's English speaks of the person; the page speaks to them, and says a double negative straight. */
function ofYou(text: string): string {
  return text
    .replace(/; no longer so: they did not do anything\b/, ': you did something')
    .replace(/; no longer so: they did not do /, ': you did ')
    .replace(/; no longer so: /, '; this is no longer so: ')
    .replace(/\b([Tt])hey (did|are|were|have|do)\b/g, (_, first: string, verb: string) => `${first === 'T' ? 'Y' : 'y'}ou ${verb}`)
}

function remaining(stay: Stay): number {
  return stay.until === null ? Infinity : stay.until - (Date.now() - stay.ahead)
}

function shown(millis: number): string {
  const seconds = Math.ceil(millis / 1_000)
  if (seconds <= 0) return 'leaving …'
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`
}
