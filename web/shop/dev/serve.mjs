// Serves dist/ with canned answers in the shape of the demo server's, for work on the looks of the page:
// `npm run build && node dev/serve.mjs [PORT] [SECONDS_IN_SEGMENT]`. No part of the product uses it.
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { extname, join, normalize } from 'node:path'

const port = Number(process.argv[2] ?? 4173)
const stay = Number(process.argv[3] ?? 60) * 1000
const origin = `http://127.0.0.1:${port}`
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.txt': 'text/plain',
}
const followers = new Map()
const mails = []
let leaving

const json = (reply, value) => reply.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
const tell = (anonymousId, stage, delay, messageId, event, payload) =>
  setTimeout(() => {
    const line = `event: ${stage}\ndata: ${JSON.stringify({ stage, at: new Date().toISOString(), messageId, event, payload })}\n\n`
    for (const follower of followers.get(anonymousId) ?? []) follower.write(line)
  }, delay)

let traits = {}
function receive(event) {
  const { anonymousId, messageId } = event
  const name = event.event ?? event.name ?? event.type
  if (event.type === 'identify') traits = { ...traits, ...event.traits }
  const marketing = event.context?.consent?.categoryPreferences?.marketing === true
  tell(anonymousId, 'raw', 4, messageId, name, {
    space: 'main',
    source: 'shop',
    address: 'g1-p0-004211-0',
    body: event,
  })
  tell(anonymousId, 'clean', 12, messageId, name, {
    event_key: messageId,
    event_time: event.timestamp,
    name,
    properties: event.properties,
  })
  tell(anonymousId, 'profile', 19, messageId, name, {
    id: 'pr_7Qm3',
    traits,
    identifiers: [`anonymous_id:${anonymousId}`],
  })
  if (event.type === 'track') {
    const to = {
      segment: 'online_now',
      change: 'entered',
      cause: 'event',
      until: new Date(Date.now() + 120000).toISOString(),
      explanation: 'did something within the last 2 minutes',
    }
    tell(anonymousId, 'segment', 24, messageId, name, to)
  }
  if (name !== 'Order Completed') return
  const until = new Date(Date.now() + stay).toISOString()
  tell(anonymousId, 'segment', 25, messageId, name, {
    segment: 'just_bought',
    change: leaving ? 'renewed' : 'entered',
    cause: 'event',
    until,
    explanation: 'bought within the last minute',
  })
  const first = !leaving
  clearTimeout(leaving)
  leaving = setTimeout(() => {
    leaving = undefined
    tell(anonymousId, 'segment', 0, '', '', {
      segment: 'just_bought',
      change: 'exited',
      cause: 'clock',
      until: null,
      explanation: 'only time went by: no purchase within the last minute',
    })
  }, stay)
  if (!first || !marketing) return
  tell(anonymousId, 'message', 700, messageId, name, { message: 'order_thanks' })
  const html = `<body style="margin:0;background:#f4f1ea;font:16px/1.6 sans-serif"><div style="max-width:520px;margin:0 auto;padding:32px 20px"><div style="background:#fff;border-radius:16px;padding:32px"><h1 style="margin:0 0 12px;font-size:26px">Thank you, ${traits.first_name}.</h1><p>Your order is on its way through the house.</p></div></div>`
  setTimeout(
    () =>
      mails.push({
        id: `m${mails.length}`,
        subject: `Thank you, ${traits.first_name}`,
        from: '"Kith Shop" <shop@example.com>',
        date: new Date().toISOString(),
        html,
        text: '',
      }),
    1400,
  )
}

createServer((request, reply) => {
  const url = new URL(request.url, origin)
  if (url.pathname === '/demo/config.json') {
    return json(reply, {
      writeKey: 'wk',
      apiHost: `127.0.0.1:${port}/v1`,
      cdnURL: origin,
      protocol: 'http',
      segment: 'just_bought',
      inboxUrl: `${origin}/inbox`,
    })
  }
  if (url.pathname.endsWith('/settings'))
    return json(reply, { integrations: { 'Segment.io': { apiKey: 'wk' } }, metrics: { sampleRate: 0 } })
  if (url.pathname === '/demo/inbox') return json(reply, mails)
  if (url.pathname === '/demo/journey') {
    const who = url.searchParams.get('anonymousId')
    reply.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).write(': welcome\n\n')
    followers.set(who, [...(followers.get(who) ?? []), reply])
    return request.on('close', () =>
      followers.set(
        who,
        followers.get(who).filter((other) => other !== reply),
      ),
    )
  }
  if (url.pathname.startsWith('/v1/')) {
    let body = ''
    request.on('data', (part) => (body += part))
    return request.on('end', () => {
      if (body) receive(JSON.parse(body))
      json(reply, { success: true })
    })
  }
  const path = normalize(url.pathname === '/' ? '/index.html' : url.pathname)
  readFile(join(import.meta.dirname, '../dist', path)).then(
    (content) =>
      reply.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' }).end(content),
    () => reply.writeHead(404).end(),
  )
}).listen(port, '127.0.0.1', () => console.log(origin))
