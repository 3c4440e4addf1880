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
  at: number
  text: string
  segment: string
  kind: 'entered' | 'left' | 'by-time'
}

const LINES_SHOWN = 5

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

  constructor(
    private readonly segment: string,
    private readonly agreed: () => boolean | undefined,
  ) {
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

  /** Takes what arrived before the page was loaded again. Where the visitor is now the server tells. */
  remember(before: readonly Arrival[]): void {
    for (const arrival of before) this.take(arrival)
    this.stays.clear()
    this.show()
  }

  /** Takes an arrival that may change a segment. */
  take(arrival: Arrival): void {
    const change = arrival.stage === 'segment' ? readChange(arrival.payload) : null
    if (!change) return
    const byTime = change.cause === 'clock'
    if (change.change === 'exited') {
      this.stays.delete(change.segment)
      if (change.segment === this.segment) this.leftByTime = byTime
      const why =
        ofYou(change.explanation) || (byTime ? 'only time went by' : `because of ${arrival.event || change.cause}`)
      this.note({ at: arrival.at, segment: change.segment, kind: byTime ? 'by-time' : 'left', text: `left: ${why}` })
    } else {
      // One who entered before the page was loaded again is told anew, as of now.
      const latest = this.lines.find((line) => line.segment === change.segment)
      const already = this.stays.has(change.segment) || latest?.kind === 'entered'
      const span = change.until === null ? 0 : change.until - arrival.at
      this.stays.set(change.segment, {
        segment: change.segment,
        until: change.until,
        span,
        ahead: Date.now() - arrival.at,
      })
      if (!already) {
        this.note({
          at: arrival.at,
          segment: change.segment,
          kind: 'entered',
          text: `entered: ${ofYou(change.explanation) || arrival.event || change.cause}`,
        })
      }
    }
    announce(`You ${change.change === 'exited' ? 'left' : 'are in'} the segment ${change.segment}.`)
    this.show()
  }

  private note(line: Line): void {
    this.lines.unshift(line)
    this.lines.length = Math.min(this.lines.length, LINES_SHOWN)
  }

  /** Shows everything anew. */
  show(): void {
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
      const refused = this.agreed() === false
      const words = refused
        ? 'For whoever bought within the last minute and agrees to mail. You did not agree, so it leaves you out.'
        : 'For whoever bought within the last minute and agrees to mail.'
      fill(
        this.featured,
        h('div', { class: 'featured-head' }, name, h('span', { class: 'left' }, refused ? 'not you' : 'not yet')),
        h('p', {}, words),
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
          h('time', {}, new Date(line.at).toLocaleTimeString('en-GB')),
          ' ',
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

/** The server's English speaks of the person; the page speaks to them. */
function ofYou(text: string): string {
  return text.replace(/\b([Tt])hey (did|are|were|have|do)\b/g, (_, first: string, verb: string) =>
    `${first === 'T' ? 'Y' : 'y'}ou ${verb}`,
  )
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
