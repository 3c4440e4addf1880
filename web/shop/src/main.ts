// Puts the page together: the shop in front, and behind the counter the journey, the segments and the inbox.
import { fill, h } from './dom'
import { Front } from './front'
import { Inbox } from './inbox'
import { Journey } from './journey'
import { Memory } from './memory'
import { Segments } from './segments'
import { type Connection, follow } from './stream'
import { Tracking, type Visitor } from './tracking'
import { type Config, readConfig } from './types'

/** How long a connection is quiet once it has told where the visitor is. */
const TOLD_AFTER_MS = 3_000
/** How long it may take to begin to tell. */
const BEGINS_WITHIN_MS = 10_000

const shop = document.getElementById('shop')
const room = document.getElementById('room')
if (shop && room) void start(new Front(shop), room)

async function start(front: Front, room: HTMLElement): Promise<void> {
  const state = h('p', { class: 'state', 'data-state': 'connecting', role: 'status' }, 'Opening …')
  const head = h(
    'header',
    { class: 'room-head' },
    h('div', {}, h('p', { class: 'room-title' }, 'Behind the counter')),
    state,
  )
  fill(
    room,
    head,
    h(
      'div',
      { class: 'panels waiting', 'aria-hidden': 'true' },
      h('div', { class: 'panel' }),
      h('div', { class: 'panel' }),
    ),
  )
  try {
    const config = await configuration()
    const tracking = await Tracking.start(config)
    open(front, room, head, state, config, tracking)
  } catch (error) {
    state.dataset['state'] = 'lost'
    state.textContent = 'Closed'
    const again = h('button', { type: 'button', class: 'primary', onclick: () => location.reload() }, 'Try again')
    const reason = error instanceof Error ? error.message : String(error)
    fill(
      room,
      head,
      h(
        'section',
        { class: 'panel failure', role: 'alert' },
        h('h2', {}, 'The server does not answer'),
        h('p', {}, 'Start it with ', h('code', {}, 'make demo'), ' and come back. Nothing you did is lost.'),
        h('p', { class: 'fine' }, reason),
        again,
      ),
    )
  }
}

async function configuration(): Promise<Config> {
  const reply = await fetch('/demo/config.json', { signal: AbortSignal.timeout(8_000) })
  if (!reply.ok) throw new Error(`/demo/config.json answered ${reply.status}.`)
  const config = readConfig(await reply.json())
  if (!config) throw new Error('/demo/config.json lacks writeKey, apiHost or cdnURL.')
  return config
}

function open(
  front: Front,
  room: HTMLElement,
  head: HTMLElement,
  state: HTMLElement,
  config: Config,
  tracking: Tracking,
): void {
  const agreed = (): boolean | undefined => tracking.known?.marketing
  const memory = new Memory(config.writeKey, tracking.anonymousId)
  const journey = new Journey(config.segment, agreed, (messageId) => memory.keepWatched(messageId))
  const segments = new Segments(config.segment)
  const inbox = new Inbox(config.inboxUrl, config.segment, agreed)
  head.append(inbox.notice)
  fill(
    room,
    head,
    h('div', { class: 'panels' }, journey.element, h('div', { class: 'column' }, segments.element, inbox.element)),
  )

  const words: Record<Connection, string> = {
    connecting: 'Connecting …',
    live: 'Live',
    lost: 'Connection lost. Trying again …',
  }
  journey.remember(memory.before, (messageId) => memory.wasWatched(messageId))
  segments.remember(memory.before)
  // A connection begins with where the visitor is now, and with the page that was just opened: then it is quiet.
  let untilTold: number | undefined
  const isTold = (): void => {
    untilTold = undefined
    for (const missed of segments.told()) memory.keepChange(missed)
    inbox.follow(segments.hasBought)
  }
  follow(
    tracking.anonymousId,
    (arrival) => {
      if (arrival.stage === 'message') return inbox.expect()
      if (untilTold !== undefined) {
        clearTimeout(untilTold)
        untilTold = setTimeout(isTold, TOLD_AFTER_MS)
      }
      journey.take(arrival)
      if (arrival.stage !== 'segment') memory.keepEvent(arrival)
      else {
        const news = segments.take(arrival)
        if (news) memory.keepChange(news)
        inbox.follow(segments.hasBought)
      }
    },
    (connection) => {
      state.dataset['state'] = connection
      state.textContent = words[connection]
      clearTimeout(untilTold)
      untilTold = undefined
      if (connection !== 'live') return
      segments.opened()
      untilTold = setTimeout(isTold, BEGINS_WITHIN_MS)
    },
  )
  const known = tracking.known
  if (known) inbox.of(known.email)
  front.open(
    {
      async introduce(visitor: Visitor) {
        journey.follow()
        await tracking.introduce(visitor)
        inbox.of(visitor.email)
      },
      async buy(product) {
        journey.follow()
        await tracking.buy(product)
        if (getComputedStyle(room).position !== 'sticky') room.scrollIntoView({ behavior: 'smooth', block: 'start' })
      },
      startOver() {
        void tracking.forget().then(() => location.reload())
      },
    },
    known,
  )
}
