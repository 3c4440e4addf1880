// Stock SDKs send to a running server with nothing but their host set, and what they sent is found once, whole, and as a
// person. Runs alone: `node --test tests/peers/sdk.test.mjs`.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { chromium, load, loadForPages, root, runPython, until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const CALLS = ['alias', 'group', 'identify', 'page', 'screen', 'track']
let server
const afterwards = []
before(async () => {
  server = await startServer({ after: task => afterwards.push(task) })
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

/** The clean events of a source by type, each seen once. */
async function eventsOf(source) {
  await server.kith('flush')
  const rows = await server.sql(`
    SELECT event_key, message_id, event_type, event, user_id, anonymous_id, group_id, library_name, origin, properties, traits
    FROM clean.events WHERE source = '${source}' ORDER BY sequence, event_index`)
  assert.equal(new Set(rows.map(row => row.event_key)).size, rows.length, 'an event is there twice')
  return rows
}

/** What every server-side SDK sent, and the person that came of it. */
async function sixCallsArrived(source, prefix, messages) {
  const rows = await eventsOf(source)
  assert.deepEqual(rows.map(row => row.event_type).sort(), CALLS)
  assert.deepEqual(rows.map(row => row.message_id).sort(), [...messages].sort())
  const of = type => rows.find(row => row.event_type === type)
  assert.equal(of('track').event, 'Order Completed')
  assert.equal(of('track').user_id, `${prefix}-user`)
  const order = JSON.parse(of('track').properties)
  assert.equal(order.total, 19.9)
  assert.equal(order.note, 'grüße 🎁')
  assert.equal(of('group').group_id, `${prefix}-account`)
  assert.ok(of('track').library_name, 'the SDK names itself')
  for (const row of rows) assert.equal(row.origin, 'live')

  const person = JSON.parse(await server.kith('profile', 'get', `email:${prefix}@example.com`, '--json'))
  assert.equal(person.traits.name, 'Zoë Ünal')
  const identifiers = person.identifiers.map(found => `${found.type}:${found.value}`)
  assert.ok(identifiers.includes(`user_id:${prefix}-user`), identifiers.join(' '))
  assert.equal(person.id, (await server.person(`user_id:${prefix}-user`)).id)
  assert.ok(person.recent_events.some(event => event.name === 'Order Completed' && event.properties.total === 19.9))
  return person
}

test('col_1_segments_sdk_for_node_works_unmodified', { timeout: 60_000 }, async () => {
  const { Analytics } = load('@segment/analytics-node')
  const analytics = new Analytics({ writeKey: await server.source('segment-node'), host: server.url })
  const [failures, messages] = [[], []]
  analytics.on('error', error => failures.push(error))
  for (const call of CALLS) analytics.on(call, context => messages.push(context.event.messageId))
  const userId = 'node-user'
  analytics.identify({ userId, traits: { email: 'node@example.com', name: 'Zoë Ünal' } })
  analytics.track({ userId, event: 'Order Completed', properties: { total: 19.9, currency: 'EUR', note: 'grüße 🎁' } })
  analytics.page({ userId, category: 'Shop', name: 'Lamps', properties: { url: 'https://shop.example.com/lamps' } })
  analytics.screen({ userId, name: 'Start' })
  analytics.group({ userId, groupId: 'node-account', traits: { seats: 3 } })
  analytics.alias({ userId, previousId: 'node-before' })
  await analytics.closeAndFlush({ timeout: 20_000 })
  assert.deepEqual(failures, [])
  await sixCallsArrived('segment-node', 'node', messages)
})

test('col_1_rudderstacks_sdk_for_node_works_unmodified', { timeout: 60_000 }, async () => {
  const RudderAnalytics = load('@rudderstack/rudder-sdk-node')
  const failures = []
  const options = { dataPlaneUrl: server.url, errorHandler: error => failures.push(error), logLevel: 'none' }
  const analytics = new RudderAnalytics(await server.source('rudder-node'), options)
  const userId = 'rudder-user'
  const messages = CALLS.map(call => `rudder-${call}`)
  analytics.identify({ userId, messageId: 'rudder-identify', traits: { email: 'rudder@example.com', name: 'Zoë Ünal' } })
  const properties = { total: 19.9, currency: 'EUR', note: 'grüße 🎁' }
  analytics.track({ userId, messageId: 'rudder-track', event: 'Order Completed', properties })
  analytics.page({ userId, messageId: 'rudder-page', name: 'Lamps', properties: { url: 'https://shop.example.com/lamps' } })
  analytics.screen({ userId, messageId: 'rudder-screen', name: 'Start' })
  analytics.group({ userId, messageId: 'rudder-group', groupId: 'rudder-account', traits: { seats: 3 } })
  analytics.alias({ userId, messageId: 'rudder-alias', previousId: 'rudder-before' })
  await new Promise((done, failed) => analytics.flush(error => (error ? failed(error) : done())))
  await until('all calls to be sent', async () => (await eventsOf('rudder-node')).length >= 6, { every: 200 })
  assert.deepEqual(failures, [])
  await sixCallsArrived('rudder-node', 'rudder', messages)
})

for (const encoding of ['plain', 'gzip']) {
  test(`col_1_segments_sdk_for_python_works_unmodified_${encoding}`, { timeout: 60_000 }, async () => {
    const [source, prefix] = [`segment-python-${encoding}`, `python-${encoding}`]
    const sent = await runPython('sdk/segment_python.py', [server.url, await server.source(source), prefix, encoding])
    assert.deepEqual(sent.failures, [])
    await sixCallsArrived(source, prefix, sent.messages)
    // 2^53 + 1 is no number of JavaScript: the text must still hold every digit.
    const told = await server.sql(`SELECT traits FROM clean.events WHERE source = '${source}' AND event_type = 'identify'`)
    assert.match(told[0].traits, /"plan":\s*9007199254740993/)
  })
}

/** A page with the stock browser SDK in it, served from an origin of its own. */
async function servePage(t, writeKey) {
  const { build } = loadForPages('esbuild')
  const api = new URL(server.url).host
  const contents = `
    import { AnalyticsBrowser } from '@segment/analytics-next'
    window.analytics = AnalyticsBrowser.load(
      { writeKey: ${JSON.stringify(writeKey)}, cdnURL: ${JSON.stringify(server.url)} },
      { integrations: { 'Segment.io': { apiHost: ${JSON.stringify(`${api}/v1`)}, protocol: 'http' } } })`
  const made = await build({
    stdin: { contents, resolveDir: `${root}/web/shop`, loader: 'js' },
    bundle: true, write: false, format: 'iife', target: 'es2022', logLevel: 'silent',
    define: { 'process.env.NODE_ENV': '"production"' },
  })
  const script = made.outputFiles[0].text
  const page = '<!doctype html><title>Lamps</title><script src="/page.js"></script>'
  const http = createServer((request, reply) => {
    const isScript = request.url === '/page.js'
    reply.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html; charset=utf-8' })
    reply.end(isScript ? script : page)
  })
  await new Promise(done => http.listen(0, '127.0.0.1', done))
  t.after(() => http.close())
  return `http://127.0.0.1:${http.address().port}/lamps?utm_source=letter`
}

test('col_1_segments_sdk_for_the_browser_works_unmodified', { timeout: 120_000 }, async t => {
  const { chromium: driver } = load('playwright-core')
  const browser = await driver.launch({ executablePath: chromium, args: ['--no-sandbox'] })
  t.after(() => browser.close())
  const address = await servePage(t, await server.source('browser'))
  const page = await browser.newPage()
  const refused = []
  page.on('response', response => response.status() >= 400 && response.url().startsWith(server.url) && refused.push(response.url()))
  page.on('requestfailed', request => request.url().startsWith(server.url) && refused.push(`${request.url()} ${request.failure()?.errorText}`))
  await page.goto(address)
  const sent = await page.evaluate(async () => {
    const { analytics } = window
    const contexts = [
      await analytics.page('Shop', 'Lamps'),
      await analytics.track('Product Viewed', { price: 12.5 }),
      await analytics.identify('browser-user', { email: 'browser@example.com', name: 'Zoë Ünal' }),
      await analytics.track('Order Completed', { total: 19.9, note: 'grüße 🎁' }),
      await analytics.group('browser-account', { seats: 3 }),
      await analytics.alias('browser-user', 'browser-before'),
      await analytics.screen('Start'),
    ]
    return { anonymousId: (await analytics.user()).anonymousId(), messages: contexts.map(context => context.event.messageId) }
  })
  const rows = await until('all calls of the page', async () => {
    const found = await eventsOf('browser')
    return found.length >= 7 && found
  }, { every: 300 })
  assert.deepEqual(refused, [])
  assert.deepEqual(rows.map(row => row.message_id).sort(), [...sent.messages].sort())
  assert.ok(rows.every(row => row.anonymous_id === sent.anonymousId))
  const [seen] = await server.sql(`
    SELECT page_path, page_title, campaign_source, user_agent, library_name FROM clean.events
    WHERE source = 'browser' AND event_type = 'page'`)
  assert.equal(seen.page_path, '/lamps')
  assert.equal(seen.page_title, 'Lamps')
  assert.equal(seen.campaign_source, 'letter')
  assert.match(seen.user_agent, /Chrom/)
  const person = await server.person(`anonymous_id:${sent.anonymousId}`)
  assert.equal(person.id, (await server.person('email:browser@example.com')).id)
  assert.equal(person.traits.name, 'Zoë Ünal')
  assert.ok(person.recent_events.some(event => event.name === 'Product Viewed'), 'what was seen before the sign-in belongs to the person')
})
