// JSON as it is read: indented, its keys and texts coloured. Everything goes in as text.
import { h } from './dom'

const LONGEST = 20_000
const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** The pieces of a value, to be put into a `pre`. */
export function coloured(value: unknown): (Node | string)[] {
  const whole = JSON.stringify(value, null, 2) ?? 'null'
  const text = whole.length > LONGEST ? `${whole.slice(0, LONGEST)}\n… cut` : whole
  const parts: (Node | string)[] = []
  let last = 0
  for (const match of text.matchAll(TOKEN)) {
    parts.push(text.slice(last, match.index))
    const [all, quoted, colon] = match
    if (quoted !== undefined && colon !== undefined) parts.push(h('span', { class: 'key' }, quoted), colon)
    else parts.push(h('span', { class: quoted === undefined ? 'number' : 'text' }, all))
    last = match.index + all.length
  }
  parts.push(text.slice(last))
  return parts
}
