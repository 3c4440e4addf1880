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
  settled: boolean
}

interface Station {
  root: HTMLElement
  time: HTMLElement
  note: HTMLElement
  json: HTMLElement
  details: HTMLDetailsElement
}

const TRIPS_SHOWN = 6
/** How long after the profile changed no segment may have answered before it counts as silent. */
const SETTLES_AFTER_MS = 2_500

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

  constructor(
    private readonly segment: string,
    private readonly agreed: () => boolean | undefined,
  ) {
    for (const stage of STAGES) this.line.append(this.station(stage))
    this.element = h(
      'section',
      { class: 'panel journey', 'aria-labelledby': 'journey-title' },
      h('h2', { id: 'journey-title' }, 'Your event’s journey'),
      this.tabs,
      this.line,
    )
    this.show()
  }

  /** Takes what arrived before the page was loaded again. */
  remember(before: readonly Arrival[]): void {
    for (const arrival of before) this.take(arrival, true)
    for (const trip of this.trips.values()) trip.settled = trip.arrivals.has('profile')
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
    if (arrival.stage === 'profile' && !remembered && !trip.settled) {
      setTimeout(() => {
        trip.settled = true
        this.show()
      }, SETTLES_AFTER_MS)
    }
    // Orders are what the page is about: a new one takes the stage, other events only until there is one.
    const current = this.trips.get(this.chosen)
    if (!current || trip.event === 'Order Completed' || current.event !== 'Order Completed') {
      if (!current || trip.began >= current.began) this.chosen = trip.messageId
    }
    if (remembered) return
    if (trip.event === 'Order Completed') announce(`Your order has reached ${WORDS[arrival.stage].title}.`)
    this.show()
  }

  /** Shows an order as soon as it was sent. */
  choose(messageId: string): void {
    if (this.trips.has(messageId)) {
      this.chosen = messageId
      this.show()
    }
  }

  private begin(arrival: Arrival): Trip {
    const trip: Trip = {
      messageId: arrival.messageId,
      event: arrival.event,
      began: arrival.at,
      arrivals: new Map(),
      settled: false,
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
    const details = h(
      'details',
      { class: 'station-json' },
      h('summary', {}, 'See it as JSON'),
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
    this.stations.set(stage, { root, time, note, json, details })
    return root
  }

  private show(): void {
    const trip = this.trips.get(this.chosen)
    this.showTabs()
    const first = trip?.arrivals.get('raw')?.[0]?.at ?? trip?.began
    let waiting = true
    for (const stage of STAGES) {
      const station = this.stations.get(stage)
      if (!station) continue
      const arrivals = trip?.arrivals.get(stage) ?? []
      const silent = stage === 'segment' && trip?.settled === true && arrivals.length === 0
      const state = arrivals.length > 0 || silent ? 'there' : trip && waiting ? 'next' : 'ahead'
      if (state === 'next') waiting = false
      if (station.root.dataset['state'] !== state) station.root.dataset['state'] = state
      station.time.textContent = arrivals[0] ? when(arrivals[0].at, first, stage) : state === 'next' ? 'on its way' : ''
      fill(
        station.note,
        ...(silent ? [this.silence(trip)] : state === 'there' ? noted(stage, arrivals) : [WORDS[stage].waits]),
      )
      if (stage === 'segment' && arrivals.length > 0 && trip && this.leftOut(trip))
        station.note.append(
          ' You did not agree to mail, so ',
          h('b', { class: 'name' }, this.segment),
          ' leaves you out.',
        )
      station.details.hidden = arrivals.length === 0
      if (arrivals.length > 0) {
        const payloads = arrivals.map((arrival) => arrival.payload)
        fill(station.json, ...coloured(payloads.length === 1 ? payloads[0] : payloads))
      }
    }
  }

  /** Whether it is an order of somebody who did not agree to mail. */
  private leftOut(trip: Trip): boolean {
    return trip.event === 'Order Completed' && this.agreed() !== true
  }

  /** Why an event changed no segment; an order without the visitor's agreement is the case that matters. */
  private silence(trip: Trip): string {
    if (this.leftOut(trip))
      return `You bought, but did not agree to mail. So ${this.segment} leaves you out, and no mail is sent.`
    return 'Every question about you was asked again. No answer changed.'
  }

  private showTabs(): void {
    const newest = [...this.trips.values()].sort((one, other) => other.began - one.began).slice(0, TRIPS_SHOWN)
    if (newest.length === 0) {
      fill(this.tabs, h('p', { class: 'empty' }, 'Nothing yet. What you do in the shop shows up here.'))
      return
    }
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset['trip'] : undefined
    const buttons = newest.map((trip) => {
      const pips = STAGES.map((stage) =>
        h('i', { class: trip.arrivals.has(stage) || (stage === 'segment' && trip.settled) ? 'on' : '' }),
      )
      const choose = (): void => {
        this.chosen = trip.messageId
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
  }
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

/** The clock time at the first station, the way since then at the others. */
function when(at: number, first: number | undefined, stage: Stage): string {
  if (stage === 'raw' || first === undefined) return clock.format(at)
  const millis = Math.max(0, Math.round(at - first))
  return millis < 10_000 ? `+${millis} ms` : `+${Math.round(millis / 1_000)} s`
}
