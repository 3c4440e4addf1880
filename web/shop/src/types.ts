// What the demo server says, and the checks that make unknown JSON into it. Nothing here touches the page.

/** `GET /demo/config.json`. */
export interface Config {
  writeKey: string
  /** Host, port and `/v1`: where the SDK sends events. */
  apiHost: string
  /** The origin that has the SDK's settings document. */
  cdnURL: string
  protocol: 'http' | 'https'
  /** The segment that a purchase leads into. */
  segment: string
  /** The page of the demo's inbox. */
  inboxUrl: string
}

export const STAGES = ['raw', 'clean', 'profile', 'segment'] as const
export type Stage = (typeof STAGES)[number]

/** An event, or a change that it caused, has reached a stage. */
export interface Arrival {
  stage: Stage | 'message'
  at: number
  messageId: string
  event: string
  payload: unknown
}

/** What a segment's arrival says in its payload. */
export interface SegmentChange {
  segment: string
  change: 'entered' | 'renewed' | 'exited'
  cause: string
  until: number | null
  explanation: string
}

/** A mail of `GET /demo/inbox`. */
export interface Mail {
  id: string
  subject: string
  from: string
  date: number
  html: string
  text: string
}

type Fields = Record<string, unknown>

function fields(json: unknown): Fields {
  return typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Fields) : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function moment(value: unknown): number | null {
  const parsed = typeof value === 'string' ? Date.parse(value) : NaN
  return Number.isNaN(parsed) ? null : parsed
}

/** Reads the configuration; `null` when it is none. */
export function readConfig(json: unknown): Config | null {
  const from = fields(json)
  const config: Config = {
    writeKey: text(from['writeKey']),
    apiHost: text(from['apiHost']),
    cdnURL: text(from['cdnURL']),
    protocol: from['protocol'] === 'https' ? 'https' : 'http',
    segment: text(from['segment']) || 'just_bought',
    inboxUrl: text(from['inboxUrl']),
  }
  return config.writeKey && config.apiHost && config.cdnURL ? config : null
}

/** Reads an arrival; `null` when it is none. */
export function readArrival(kind: string, json: unknown): Arrival | null {
  const from = fields(json)
  const stage = kind === 'message' ? 'message' : STAGES.find((known) => known === kind)
  if (!stage) return null
  return {
    stage,
    at: moment(from['at']) ?? Date.now(),
    messageId: text(from['messageId']),
    event: text(from['event']),
    payload: from['payload'] ?? json,
  }
}

/** Reads the change of a segment's arrival; `null` when it says none. */
export function readChange(payload: unknown): SegmentChange | null {
  const from = fields(payload)
  const [segment, change] = [text(from['segment']), text(from['change'])]
  if (!segment || (change !== 'entered' && change !== 'renewed' && change !== 'exited')) return null
  return {
    segment,
    change,
    cause: text(from['cause']),
    until: moment(from['until']),
    explanation: text(from['explanation']),
  }
}

/** Reads the mails of an inbox, the newest first. */
export function readInbox(json: unknown): Mail[] {
  const list = Array.isArray(json) ? json : []
  const mails = list.map((entry) => {
    const from = fields(entry)
    return {
      id: text(from['id']),
      subject: text(from['subject']),
      from: text(from['from']),
      date: moment(from['date']) ?? Date.now(),
      html: text(from['html']),
      text: text(from['text']),
    }
  })
  return mails.filter((mail) => mail.id !== '').sort((one, other) => other.date - one.date)
}
