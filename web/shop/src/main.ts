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
  const journey = new Journey(config.segment, agreed)
  const segments = new Segments(config.segment, agreed)
  const inbox = new Inbox(config.inboxUrl, agreed)
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
  const memory = new Memory(tracking.anonymousId)
  journey.remember(memory.before)
  segments.remember(memory.before)
  follow(
    tracking.anonymousId,
    (arrival) => {
      memory.keep(arrival)
      journey.take(arrival)
      segments.take(arrival)
      if (arrival.stage === 'message') inbox.expect()
    },
    (connection) => {
      state.dataset['state'] = connection
      state.textContent = words[connection]
    },
  )
  const known = tracking.known
  if (known) inbox.of(known.email)
  front.open(
    {
      async introduce(visitor: Visitor) {
        await tracking.introduce(visitor)
        inbox.of(visitor.email)
        segments.show()
      },
      async buy(product) {
        const messageId = await tracking.buy(product)
        journey.choose(messageId)
        if (getComputedStyle(room).position !== 'sticky') room.scrollIntoView({ behavior: 'smooth', block: 'start' })
      },
      startOver() {
        void tracking.forget().then(() => location.reload())
      },
    },
    known,
  )
}
