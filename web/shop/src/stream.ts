// The live stream of what happens to the visitor's events, over server-sent events. It connects anew when the stream
// is lost, with growing pauses, and says so.
import { type Arrival, readArrival } from './types'

export type Connection = 'connecting' | 'live' | 'lost'

const KINDS = ['raw', 'clean', 'profile', 'segment', 'message']
const LONGEST_PAUSE_MS = 10_000

/** Follows the journey of one visitor until the page goes. */
export function follow(
  anonymousId: string,
  arrived: (arrival: Arrival) => void,
  changed: (connection: Connection) => void,
): void {
  let pause = 500
  const connect = (): void => {
    changed(pause > 500 ? 'lost' : 'connecting')
    const source = new EventSource(`/demo/journey?anonymousId=${encodeURIComponent(anonymousId)}`)
    source.onopen = () => {
      pause = 500
      changed('live')
    }
    source.onerror = () => {
      // A browser repeats some failures by itself and gives up at others; one way for all is easier to trust.
      source.close()
      changed('lost')
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
      setTimeout(connect, pause)
    }
    for (const kind of KINDS) {
      source.addEventListener(kind, (message: MessageEvent<string>) => {
        const arrival = readArrival(kind, parsed(message.data))
        if (arrival) arrived(arrival)
      })
    }
  }
  connect()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
