// Stock SDKs send to a running server with nothing but their host set, and what they sent is found once, whole, and as a
// person. Runs alone: `node --test tests/peers/sdk.test.mjs`.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import {
  chromium, javaLibraries, load, loadForPages, packageFile, root, runForJson, runPython, segmentGo, until, within,
} from './support/parts.mjs'
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
    SELECT event_key, message_id, event_type, event, user_id, anonymous_id, group_id, library_name, origin, identifiers, properties, traits
    FROM clean.events WHERE source = '${source}' ORDER BY sequence, event_index`)
  assert.equal(new Set(rows.map(row => row.event_key)).size, rows.length, 'an event is there twice')
  return rows
}

/** What every server-side SDK sent, and the person that came of it. */
async function sixCallsArrived(source, { prefix, messages, library }) {
  const rows = await eventsOf(source)
  assert.deepEqual(rows.map(row => row.event_type).sort(), CALLS)
  assert.deepEqual(rows.map(row => row.message_id).sort(), [...messages].sort())
  for (const row of rows) {
    assert.equal(row.user_id, `${prefix}-user`, row.event_type)
    assert.equal(row.library_name, library, row.event_type)
    assert.equal(row.origin, 'live')
  }
  const of = type => rows.find(row => row.event_type === type)
  assert.equal(of('track').event, 'Order Completed')
  const { total, currency, note } = JSON.parse(of('track').properties)
  assert.deepEqual({ total, currency, note }, { total: 19.9, currency: 'EUR', note: 'grüße 🎁' })
  assert.equal(of('page').event, 'Lamps')
  assert.equal(JSON.parse(of('page').properties).url, 'https://shop.example.com/lamps')
  assert.equal(of('screen').event, 'Start')
  assert.equal(of('group').group_id, `${prefix}-account`)
  assert.equal(JSON.parse(of('group').traits).seats, 3)

  const person = JSON.parse(await server.kith('profile', 'get', `email:${prefix}@example.com`, '--json'))
  assert.equal(person.traits.name, 'Zoë Ünal')
  const identifiers = person.identifiers.map(found => `${found.type}:${found.value}`)
  for (const user of [`${prefix}-user`, `${prefix}-before`]) {
    assert.ok(identifiers.includes(`user_id:${user}`), identifiers.join(' '))
    assert.equal(person.id, (await server.person(`user_id:${user}`)).id)
  }
  assert.ok(person.recent_events.some(event => event.name === 'Order Completed' && event.properties.total === 19.9))
  return rows
}

/** 2^53 + 1 is no number of JavaScript: the text must still hold every digit. */
function everyDigitArrived(rows) {
  assert.match(rows.find(row => row.event_type === 'identify').traits, /"plan":\s*9007199254740993\b/)
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
  await sixCallsArrived('segment-node', { prefix: 'node', messages, library: '@segment/analytics-node' })
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
  await sixCallsArrived('rudder-node', { prefix: 'rudder', messages, library: 'analytics-node' })
})

for (const [sdk, script, library] of [
  ['segments', 'sdk/segment_python.py', 'analytics-python'],
  ['rudderstacks', 'sdk/rudder_python.py', 'analytics-python'],
]) {
  for (const encoding of ['plain', 'gzip']) {
    test(`col_1_${sdk}_sdk_for_python_works_unmodified_${encoding}`, { timeout: 60_000 }, async () => {
      const [source, prefix] = [`${sdk}-python-${encoding}`, `${sdk}-python-${encoding}`]
      const sent = await runPython(script, [server.url, await server.source(source), prefix, encoding])
      assert.deepEqual(sent.failures, [])
      everyDigitArrived(await sixCallsArrived(source, { prefix, messages: sent.messages, library }))
    })
  }
}

test('col_1_segments_sdk_for_go_works_unmodified', { timeout: 60_000 }, async () => {
  const sent = await runForJson(segmentGo, [server.url, await server.source('segment-go'), 'go'])
  assert.deepEqual(sent.failures, [])
  everyDigitArrived(await sixCallsArrived('segment-go', { prefix: 'go', messages: sent.messages, library: 'analytics-go' }))
})

test('col_1_segments_sdk_for_java_works_unmodified', { timeout: 120_000 }, async () => {
  const program = `${root}/tests/peers/sdk/segment_java/SegmentJava.java`
  const called = [server.url, await server.source('segment-java'), 'java']
  // Before Java 18 a source is read in the machine's encoding.
  const sent = await runForJson('java', ['-Dfile.encoding=UTF-8', '-cp', javaLibraries, program, ...called])
  assert.deepEqual(sent.failures, [])
  everyDigitArrived(await sixCallsArrived('segment-java', { prefix: 'java', messages: sent.messages, library: 'analytics-java' }))
})

/** A page with a stock browser SDK in it, served from an origin of its own. */
async function servePage(t, { contents, resolveDir }) {
  const { build } = loadForPages('esbuild')
  const made = await build({
    stdin: { contents, resolveDir, loader: 'js' },
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
  return `http://127.0.0.1:${http.address().port}`
}

/** Opens such a page as a visitor who came by a letter. `faults` gathers what it was refused and whom else it asked. */
async function visit(t, made) {
  const { chromium: driver } = load('playwright-core')
  const browser = await driver.launch({ executablePath: chromium, args: ['--no-sandbox'] })
  t.after(() => browser.close())
  const shop = await servePage(t, made)
  const page = await browser.newPage()
  const faults = []
  page.on('request', request => {
    if (![shop, server.url].includes(new URL(request.url()).origin)) faults.push(`asked ${request.url()}`)
  })
  page.on('response', response => response.status() >= 400 && faults.push(`${response.status()} ${response.url()}`))
  page.on('requestfailed', request => faults.push(`${request.failure()?.errorText} ${request.url()}`))
  page.on('pageerror', error => faults.push(error.message))
  await page.goto(`${shop}/lamps?utm_source=letter`)
  return { page, faults }
}

/** What a page of a shop sent while its visitor became a person. */
async function visitorArrived(source, { prefix, sent, library }) {
  const { anonymousId, messages } = sent
  const rows = await until('all calls of the page', async () => {
    const found = await eventsOf(source)
    return found.length >= messages.length && found
  }, { every: 300 })
  assert.deepEqual(rows.map(row => row.message_id).sort(), [...messages].sort())
  for (const row of rows) {
    assert.equal(row.anonymous_id, anonymousId, row.event_type)
    assert.equal(row.library_name, library, row.event_type)
  }
  const order = rows.find(row => row.event === 'Order Completed')
  assert.equal(order.user_id, `${prefix}-user`)
  const { total, note } = JSON.parse(order.properties)
  assert.deepEqual({ total, note }, { total: 19.9, note: 'grüße 🎁' })
  const account = rows.find(row => row.event_type === 'group')
  assert.equal(account.group_id, `${prefix}-account`)
  assert.equal(JSON.parse(account.traits).seats, 3)
  const [{ user_agent: agent, ...seen }] = await server.sql(`
    SELECT event, page_path, page_title, campaign_source, user_agent FROM clean.events
    WHERE source = '${source}' AND event_type = 'page'`)
  assert.deepEqual(seen, { event: 'Lamps', page_path: '/lamps', page_title: 'Lamps', campaign_source: 'letter' })
  assert.match(agent, /Chrom/)
  const person = await server.person(`anonymous_id:${anonymousId}`)
  for (const identifier of [`email:${prefix}@example.com`, `user_id:${prefix}-user`, `user_id:${prefix}-before`]) {
    assert.equal(person.id, (await server.person(identifier))?.id, identifier)
  }
  assert.equal(person.traits.name, 'Zoë Ünal')
  assert.ok(person.recent_events.some(event => event.name === 'Product Viewed'), 'what was seen before the sign-in belongs to the person')
}

/** A page with Segment's SDK, as our own shop has it. */
function segmentPage(writeKey) {
  const apiHost = `${new URL(server.url).host}/v1`
  return {
    resolveDir: `${root}/web/shop`,
    contents: `
      import { AnalyticsBrowser } from '@segment/analytics-next'
      window.analytics = AnalyticsBrowser.load(
        ${JSON.stringify({ writeKey, cdnURL: server.url })},
        ${JSON.stringify({ integrations: { 'Segment.io': { apiHost, protocol: 'http' } } })})`,
  }
}

/** A page with RudderStack's SDK. Its other builds load their plugins from RudderStack's own servers as they start. */
function rudderPage(writeKey, options) {
  const loaded = [writeKey, server.url, { configUrl: server.url, ...options }]
  return {
    resolveDir: packageFile('.'),
    contents: `
      import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'
      window.analytics = new RudderAnalytics()
      window.analytics.load(...${JSON.stringify(loaded)})`,
  }
}

test('col_1_segments_sdk_for_the_browser_works_unmodified', { timeout: 120_000 }, async t => {
  const { page, faults } = await visit(t, segmentPage(await server.source('browser')))
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
  await visitorArrived('browser', { prefix: 'browser', sent, library: 'analytics.js' })
  assert.deepEqual(faults, [])
})

// A request a call, as the SDK sends by itself, and the two ways in which it can be told to send several at once.
for (const [way, options] of Object.entries({
  alone: {},
  batched: { queueOptions: { batch: { enabled: true, flushInterval: 1_000 } } },
  by_beacon: { useBeacon: true, beaconQueueOptions: { flushQueueInterval: 1_000 } },
})) {
  test(`col_1_rudderstacks_sdk_for_the_browser_works_unmodified_${way}`, { timeout: 120_000 }, async t => {
    const source = `rudder-browser-${way}`
    const { page, faults } = await visit(t, rudderPage(await server.source(source), options))
    // The SDK calls back with a call once it is on its way, which is never where it does not like its configuration.
    const calls = page.evaluate(async prefix => {
      const { analytics } = window
      const call = (name, ...args) => new Promise(done => analytics[name](...args, done))
      const events = [
        await call('page', 'Shop', 'Lamps'),
        await call('track', 'Product Viewed', { price: 12.5 }),
        await call('identify', `${prefix}-user`, { email: `${prefix}@example.com`, name: 'Zoë Ünal' }),
        await call('track', 'Order Completed', { total: 19.9, note: 'grüße 🎁' }),
        await call('group', `${prefix}-account`, { seats: 3 }),
        await call('alias', `${prefix}-user`, `${prefix}-before`),
      ]
      return { anonymousId: analytics.getAnonymousId(), messages: events.map(event => event.messageId) }
    }, source)
    const sent = await within(30_000, calls)
    assert.ok(sent, `the SDK did not start: ${faults.join(', ')}`)
    await visitorArrived(source, { prefix: source, sent, library: 'RudderLabs JavaScript SDK' })
    assert.deepEqual(faults, [])
  })
}

for (const [sdk, made] of [['segments', segmentPage], ['rudderstacks', rudderPage]]) {
  test(`col_1_${sdk}_sdk_for_the_browser_sends_again_what_it_could_not_send`, { timeout: 120_000 }, async t => {
    const source = `${sdk}-browser-again`
    const { page } = await visit(t, made(await server.source(source)))
    await page.evaluate(() => void window.analytics.track('Product Viewed', { price: 12.5 }))
    await until('the first call', async () => (await eventsOf(source)).length === 1, { every: 300 })
    await server.stop()
    const refused = page.waitForEvent('requestfailed')
    await page.evaluate(() => void window.analytics.track('Order Completed', { total: 19.9 }))
    await refused
    await server.start()
    await until('the call that was refused', async () => (await eventsOf(source)).length === 2, { every: 300, within: 20_000 })
  })
}
