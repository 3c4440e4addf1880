// The journey of the visitor's events through the four stations. Arrivals may come in any order and more than once; the
// view shows whatever is known. It never asks the server for anything.
import { announce, fill, h } from './dom'
import { coloured } from './json'
import { type Arrival, STAGES, type Stage, readChange } from './types'

interface Trip {
  messageId: string
  event: string
  began: number
  arrivals: Map<Stage, Arrival[]>
  /** What the visitor did not do by a click: the page being opened. */
  passive: boolean
  /** Whether the page watched until its changes were told. */
  settled: boolean
  /** Whether the page was loaded again before that. */
  missed: boolean
}

interface Station {
  root: HTMLElement
  time: HTMLElement
  note: HTMLElement
  json: HTMLElement
  label: HTMLElement
  details: HTMLDetailsElement
}

const TRIPS_SHOWN = 6
/** How long after the profile changed no segment may have answered before it counts as silent. */
const SETTLES_AFTER_MS = 2_500
/** How soon after one event another may be told with what both changed. */
const TOGETHER_MS = 400

const WORDS: Record<Stage, { title: string; text: string; waits: string }> = {
  raw: {
    title: 'Raw',
    text: 'Stored byte for byte, and safely on disk before your browser was told “got it”.',
    waits: 'Waiting for your event to be stored.',
  },
  clean: {
    title: 'Clean',
    text: 'Checked, given its true time, and counted once however often it is sent.',
    waits: 'Then it is checked and counted once.',
  },
  profile: {
    title: 'Profile',
    text: 'Joined to everything the shop already knows of you.',
    waits: 'Then it joins what is known of you.',
  },
  segment: {
    title: 'Segment',
    text: 'Every question about you was asked again.',
    waits: 'Then every question about you is asked again.',
  },
}

/** The panel of the journey. */
export class Journey {
  readonly element: HTMLElement
  private readonly trips = new Map<string, Trip>()
  private readonly tabs = h('div', { class: 'trips', role: 'group', 'aria-label': 'Your events' })
  private readonly stations = new Map<Stage, Station>()
  private readonly line = h('ol', { class: 'line' })
  private chosen = ''
  /** Whether the visitor chose what is shown; their next act in the shop ends that. */
  private picked = false
  /** The event that was brought into view among the others. */
  private inView = ''

  constructor(
    private readonly segment: string,
    private readonly agreed: () => boolean | undefined,
    private readonly watched: (messageId: string) => void,
  ) {
    for (const stage of STAGES) this.line.append(this.station(stage))
    this.element = h(
      'section',
      { class: 'panel journey', 'aria-labelledby': 'journey-title' },
      h('h2', { id: 'journey-title' }, 'Your event’s journey'),
      this.tabs,
      this.line,
    )
    this.tabs.addEventListener('scroll', () => this.showEdges(), { passive: true })
    new ResizeObserver(() => {
      this.inView = ''
      this.showTabs()
    }).observe(this.tabs)
    this.show()
  }

  /** Takes what arrived before the page was loaded again. */
  remember(before: readonly Arrival[], wasWatched: (messageId: string) => boolean): void {
    for (const arrival of before)
      if (arrival.stage !== 'segment' || this.trips.has(arrival.messageId)) this.take(arrival, true)
    for (const trip of this.trips.values()) {
      trip.settled = wasWatched(trip.messageId)
      trip.missed = !trip.settled
    }
    this.show()
  }

  /** Takes an arrival at one of the stations. */
  take(arrival: Arrival, remembered = false): void {
    if (arrival.stage === 'message' || arrival.messageId === '') return
    const trip = this.trips.get(arrival.messageId) ?? this.begin(arrival)
    const already = trip.arrivals.get(arrival.stage) ?? []
    // A stream that was lost may tell again what it told before.
    const told = already.some((before) => arrival.stage !== 'segment' || sameChange(before, arrival))
    if (!told) trip.arrivals.set(arrival.stage, [...already, arrival])
    if (arrival.event !== '') trip.event = arrival.event
    trip.began = Math.min(trip.began, arrival.at)
    if (arrival.stage === 'clean') trip.passive = isPageView(arrival.payload)
    if (arrival.stage === 'profile' && !told && !remembered && !toldLate(trip)) {
      setTimeout(() => {
        trip.settled = true
        this.watched(trip.messageId)
        this.show()
      }, SETTLES_AFTER_MS)
    }
    if (remembered) return
    if (!told && trip.event === 'Order Completed') announce(`Your order has reached ${WORDS[arrival.stage].title}.`)
    this.show()
  }

  /** Shows what the visitor does from now on. */
  follow(): void {
    this.picked = false
  }

  /** The newest event that a click caused, unless the visitor chose another; without any, the newest. */
  private choose(): void {
    if (this.picked && this.trips.has(this.chosen)) return
    const all = [...this.trips.values()]
    const clicked = all.filter((trip) => !trip.passive)
    const [first, ...others] = clicked.length > 0 ? clicked : all
    this.chosen = first ? others.reduce((best, trip) => (trip.began >= best.began ? trip : best), first).messageId : ''
  }

  private begin(arrival: Arrival): Trip {
    const trip: Trip = {
      messageId: arrival.messageId,
      event: arrival.event,
      began: arrival.at,
      arrivals: new Map(),
      passive: false,
      settled: false,
      missed: false,
    }
    this.trips.set(trip.messageId, trip)
    const oldest = this.trips.keys().next().value
    if (this.trips.size > TRIPS_SHOWN * 4 && oldest !== undefined && oldest !== this.chosen) this.trips.delete(oldest)
    return trip
  }

  private station(stage: Stage): HTMLElement {
    const time = h('span', { class: 'station-time' })
    const note = h('p', { class: 'station-note' })
    const json = h('code')
    const label = h('summary', {}, 'See it as JSON')
    const details = h(
      'details',
      { class: 'station-json' },
      label,
      h('pre', { tabindex: 0 }, json),
    )
    const root = h(
      'li',
      { class: 'station' },
      h('span', { class: 'stop', 'aria-hidden': 'true' }),
      h('div', { class: 'station-head' }, h('h3', {}, WORDS[stage].title), time),
      note,
      details,
    )
    this.stations.set(stage, { root, time, note, json, label, details })
    return root
  }

  private show(): void {
    this.choose()
    const trip = this.trips.get(this.chosen)
    this.showTabs()
    const first = trip?.arrivals.get('raw')?.[0]?.at ?? trip?.began
    let waiting = true
    for (const stage of STAGES) {
      const station = this.stations.get(stage)
      if (!station) continue
      const arrivals = trip?.arrivals.get(stage) ?? []
      const silence = stage === 'segment' && trip && arrivals.length === 0 ? this.silence(trip) : undefined
      const silent = silence !== undefined
      const state = arrivals.length > 0 || silent ? 'there' : trip && waiting ? 'next' : 'ahead'
      if (state === 'next') waiting = false
      if (station.root.dataset['state'] !== state) station.root.dataset['state'] = state
      station.time.textContent = arrivals[0] ? when(arrivals[0].at, first, stage) : state === 'next' ? 'on its way' : ''
      fill(
        station.note,
        ...(silent ? silence : state === 'there' ? noted(stage, arrivals) : [WORDS[stage].waits]),
      )
      if (stage === 'segment' && arrivals.some((arrival) => this.wouldSend(arrival)))
        station.note.append(' No mail is sent: your answer to mail is no.')
      station.details.hidden = arrivals.length === 0
      const label = stage === 'profile' && trip && toldLate(trip) ? 'See it as JSON, as it was later' : 'See it as JSON'
      if (station.label.textContent !== label) station.label.textContent = label
      if (arrivals.length > 0) {
        const payloads = arrivals.map((arrival) => arrival.payload)
        fill(station.json, ...coloured(payloads.length === 1 ? payloads[0] : payloads))
      }
    }
  }

  /** Whether it is an entry that sends a mail to who agreed, and the visitor did not. */
  private wouldSend(arrival: Arrival): boolean {
    const change = readChange(arrival.payload)
    return change?.segment === this.segment && change.change === 'entered' && this.agreed() !== true
  }

  /** Why no change is shown with an event; nothing as long as one may come. */
  private silence(trip: Trip): (Node | string)[] | undefined {
    if (!trip.arrivals.has('profile')) return undefined
    const reached = trip.arrivals.get('profile')?.[0]?.at ?? trip.began
    const next = [...this.trips.values()].filter(
      (other) => other !== trip && other.began >= trip.began && other.began - reached < TOGETHER_MS,
    )
    const teller = [...next, ...this.justBefore(trip)].find((other) => other.arrivals.has('segment'))
    const watched = trip.settled && next.every((other) => other.settled || other.missed || other.arrivals.has('segment'))
    if (!watched && !toldLate(trip) && !trip.missed) return undefined
    if (teller)
      return ['Events this close together are answered at once. What changed is shown with ', h('b', {}, teller.event), '.']
    return watched
      ? ['Every question about you was asked again. No answer changed.']
      : ['This page did not watch just then, so it cannot say which answers changed.']
  }

  private justBefore(trip: Trip): Trip[] {
    const reached = (other: Trip): number => other.arrivals.get('profile')?.[0]?.at ?? other.began
    return [...this.trips.values()].filter(
      (other) => other !== trip && other.began < trip.began && trip.began - reached(other) < TOGETHER_MS,
    )
  }

  /** Fades the edges behind which there are more events. */
  private showEdges(): void {
    const { scrollLeft, clientWidth, scrollWidth } = this.tabs
    this.tabs.toggleAttribute('data-before', scrollLeft > 4)
    this.tabs.toggleAttribute('data-after', scrollLeft + clientWidth < scrollWidth - 4)
  }

  /** Brings the event that is shown into view, once. */
  private showChosen(chip: HTMLElement | undefined): void {
    if (!chip || this.chosen === this.inView || this.tabs.clientWidth === 0) return
    this.inView = this.chosen
    const [left, right] = [chip.offsetLeft - 48, chip.offsetLeft + chip.offsetWidth + 48]
    const { scrollLeft, clientWidth } = this.tabs
    if (left < scrollLeft || right > scrollLeft + clientWidth) this.tabs.scrollLeft = left
  }

  private showTabs(): void {
    const all = [...this.trips.values()].sort((one, other) => other.began - one.began)
    // The page being opened again and again would crowd out what the visitor did.
    const opened = all.find((trip) => trip.passive)
    const newest = all
      .filter((trip) => !trip.passive || trip === opened || trip.messageId === this.chosen)
      .filter((trip, place) => place < TRIPS_SHOWN || trip.messageId === this.chosen)
    if (newest.length === 0) {
      fill(this.tabs, h('p', { class: 'empty' }, 'Nothing yet. What you do in the shop shows up here.'))
      return
    }
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset['trip'] : undefined
    const buttons = newest.map((trip) => {
      const pips = STAGES.map((stage) =>
        h('i', { class: trip.arrivals.has(stage) || (stage === 'segment' && this.silence(trip) !== undefined) ? 'on' : '' }),
      )
      const choose = (): void => {
        this.chosen = trip.messageId
        this.picked = true
        this.show()
      }
      return h(
        'button',
        {
          type: 'button',
          class: 'trip',
          'aria-pressed': trip.messageId === this.chosen ? 'true' : 'false',
          'data-trip': trip.messageId,
          onclick: choose,
        },
        trip.event || 'event',
        h('span', { class: 'pips', 'aria-hidden': 'true' }, ...pips),
      )
    })
    fill(this.tabs, ...buttons)
    buttons.find((button) => button.dataset['trip'] === focused)?.focus({ preventScroll: true })
    this.showChosen(buttons.find((button) => button.dataset['trip'] === this.chosen))
    this.showEdges()
  }
}

/** Whether an event was told after the fact: then the server names one moment for all that happened to it. */
function toldLate(trip: Trip): boolean {
  const [raw, profile] = [trip.arrivals.get('raw')?.[0], trip.arrivals.get('profile')?.[0]]
  return raw !== undefined && raw.at === profile?.at
}

function isPageView(payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && 'type' in payload && payload.type === 'page'
}

function sameChange(one: Arrival, other: Arrival): boolean {
  const [first, second] = [readChange(one.payload), readChange(other.payload)]
  return one.at === other.at && first?.segment === second?.segment && first?.change === second?.change
}

function noted(stage: Stage, arrivals: Arrival[]): (Node | string)[] {
  if (stage !== 'segment') return [WORDS[stage].text]
  const changes = arrivals.map((arrival) => readChange(arrival.payload)).filter((change) => change !== null)
  const parts: (Node | string)[] = []
  for (const change of changes) {
    const verb =
      change.change === 'exited' ? 'You left ' : change.change === 'renewed' ? 'You stay in ' : 'You entered '
    parts.push(parts.length > 0 ? ' ' : '', verb, h('b', { class: 'name' }, change.segment), '.')
  }
  return parts.length > 0 ? parts : [WORDS.segment.text]
}

const clock = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
})

/** The clock time at the first station, the way since then at the others; nothing where it is not known. */
function when(at: number, first: number | undefined, stage: Stage): string {
  if (stage === 'raw' || first === undefined) return clock.format(at)
  const millis = Math.round(at - first)
  if (millis <= 0) return ''
  return millis < 10_000 ? `+${millis} ms` : `+${Math.round(millis / 1_000)} s`
}
