// Traces: a real server sends them by OTLP to a collector, which reads them by OpenTelemetry's own definitions.
// Works with traces/read_spans.py. Runs alone: `node --test tests/peers/traces.test.mjs`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { folder, python, root, run, until } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

/** A collector that keeps what it is sent. */
async function collector(t) {
  const home = await folder(t)
  const bodies = []
  const refused = []
  const server = createServer((request, response) => {
    const chunks = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const type = request.headers['content-type']
      if (request.method !== 'POST' || request.url !== '/v1/traces' || type !== 'application/x-protobuf') refused.push(`${request.method} ${request.url} ${type}`)
      else bodies.push(Buffer.concat(chunks))
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
    })
  })
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  t.after(() => server.close())
  const spans = async () => {
    const files = await Promise.all(bodies.map(async (body, at) => {
      const file = join(home, `${at}.pb`)
      await writeFile(file, body)
      return file
    }))
    if (files.length === 0) return []
    const { code, stdout, stderr } = await run(python, [join(root, 'tests/peers/traces/read_spans.py'), ...files])
    assert.equal(code, 0, stderr)
    return stdout.split('\n').filter(Boolean).map(line => JSON.parse(line))
  }
  return { url: `http://127.0.0.1:${server.address().port}`, spans, bodies, refused }
}

const SENT = {
  trace: '0af7651916cd43dd8448eb211c80319c',
  span: 'b7ad6b7169203331',
}

test('ops_1_a_trace_leads_from_the_door_to_the_tables_and_names_nobody', { timeout: 60_000 }, async t => {
  const there = await collector(t)
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: there.url, OTEL_BSP_SCHEDULE_DELAY: '200' }
  const server = await startServer(t, { env })
  const writeKey = await server.source('web')
  const response = await fetch(`${server.url}/v1/track?secret=query-of-jo`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: basic(writeKey),
      'user-agent': 'browser-of-jo',
      traceparent: `00-${SENT.trace}-${SENT.span}-01`,
    },
    body: JSON.stringify({ messageId: 'message-of-jo', userId: 'jo.doe@example.com', event: 'Event of jo', properties: { name: 'name-of-jo' } }),
  })
  assert.equal(response.status, 200)
  await until('the person to be there', () => server.person('user_id:jo.doe@example.com'))
  await server.kith('flush')
  await server.get('/api/spaces/main/profiles/user_id:jo.doe%40example.com')
  await server.stop()

  assert.deepEqual(there.refused, [])
  const spans = await there.spans()
  const trace = spans.filter(span => span.trace === SENT.trace)
  const named = name => {
    const found = trace.filter(span => span.name === name)
    assert.equal(found.length, 1, `${name} in ${JSON.stringify(trace, undefined, 1)}`)
    return found[0]
  }
  const [door, log, step, publish] = ['POST /v1/track', 'log', 'step', 'publish'].map(named)
  assert.equal(trace.length, 4)
  assert.equal(door.parent, SENT.span)
  assert.deepEqual([log.parent, step.parent, publish.parent], [door.span, door.span, step.span])
  assert.equal(door.service, 'kith')
  assert.equal(door.attributes['http.response.status_code'], 200)
  assert.equal(step.attributes['kith.step.events'], 1)
  assert.ok(publish.attributes['kith.tables.end'] > door.attributes['kith.log.sequence'])
  for (const span of trace) assert.ok(span.micros >= 0 && span.micros < 60_000_000, JSON.stringify(span))
  // The API's requests are spans by the route that serves them.
  assert.ok(spans.some(span => span.name === 'GET /api/spaces/{space}/profiles/{identifier}'), [...new Set(spans.map(span => span.name))].join('\n'))
  const everything = Buffer.concat(there.bodies).toString('latin1') + JSON.stringify(spans)
  for (const personal of ['jo.doe', 'example.com', 'of-jo', 'of jo', writeKey, server.key, '127.0.0.1']) {
    assert.ok(!everything.includes(personal), `${personal} is in a span`)
  }
})

test('ops_1_a_collector_that_is_away_holds_nothing_up', { timeout: 60_000 }, async t => {
  const server = await startServer(t, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_BSP_SCHEDULE_DELAY: '50' } })
  const writeKey = await server.source('web')
  await server.send(writeKey, 'track', { userId: 'somebody', event: 'Seen' })
  await until('the person to be there', () => server.person('user_id:somebody'))
  await server.stop()
})
