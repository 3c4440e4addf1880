// Ends of a server, sudden and orderly: what was acknowledged stays, once. KITH_KILLS says how often it is killed (50 times
// under load, and 10 while segments leave the log, unless given), KITH_SEED which moments. Runs alone:
// `node --test tests/peers/crash.test.mjs`.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { everythingIsThereOnce, Load, random } from './support/load.mjs'
import { freePort, kithBinary, pause, run, until, within } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

const kills = unlessGiven => Number(process.env.KITH_KILLS ?? unlessGiven)
const KILLS = kills(50)
const KILLS_AMONG_SEGMENTS = kills(10)
/** Nine of ten starts after a kill are faster than this. Not each: a test shares its machine. */
const READY_MS = 5_000
/** What the pipeline would need for what has come when SIGTERM does: more than a server has for its end. */
const BACKLOG_SECONDS = 65
/** On a machine where so much takes longer to send, or fills more of the log, less has to do. */
const SENDING_MAX_MS = 60_000
const LOG_BYTES_MAX = 300 << 20
const SEED = Number(process.env.KITH_SEED ?? Date.now() % 1_000_000)

const DEFINITIONS = `
kind: computed_trait
name: loaded
spec: { function: count, event: Loaded }
---
kind: segment
name: busy
spec: { where: { performed: { event: Loaded, at_least: 5, within: { last: 1s } } } }
---
kind: segment
name: seen_lately
spec: { where: { performed: { event: Seen, within: { last: 3s } } } }
`

test('log_1_cln_2_no_kill_loses_or_doubles_what_was_acknowledged', { timeout: 60_000 + KILLS * 20_000 }, async t => {
  t.diagnostic(`${KILLS} kills, KITH_SEED=${SEED}`)
  const number = random(SEED)
  const server = await startServer(t)
  const writeKey = await server.source('load')
  await server.apply(DEFINITIONS)
  const load = new Load(server, writeKey, { seed: SEED })
  const ready = []
  for (let kill = 0; kill < KILLS; kill++) {
    const before = load.acknowledged.size
    await until('the load to go on', () => load.acknowledged.size > before + 20)
    if (kill % 5 === 4) server.attempt(['flush'])
    await pause(Math.floor(number() * 400))
    await server.kill()
    ready.push(await server.start())
  }
  await load.stop()
  ready.sort((one, other) => one - other)
  const slowest = ready.slice(-5).join(', ')
  t.diagnostic(`ready again after ${ready[ready.length >> 1]} ms (median); the slowest took ${slowest} ms`)
  const inTime = ready.filter(milliseconds => milliseconds < READY_MS).length
  assert.ok(inTime >= 0.9 * ready.length, `${inTime} of ${ready.length} starts were ready within ${READY_MS} ms; the slowest took ${slowest} ms`)
  t.diagnostic(`${load.acknowledged.size} events acknowledged, ${load.again} tries repeated`)
  const events = await everythingIsThereOnce(server, load, 'load')
  const [counted] = await server.sql('SELECT sum(event_count) AS n FROM curated.profiles')
  assert.equal(Number(counted.n), events, 'profiles count every event once')
  await server.kith('raw', 'verify')
  await server.kith('rebuild', '--verify', { timeout: 300_000 })
  await server.stop()
})

test('raw_2_segments_leave_the_log_and_no_kill_loses_what_was_in_them', { timeout: 60_000 + KILLS_AMONG_SEGMENTS * 30_000 }, async t => {
  t.diagnostic(`${KILLS_AMONG_SEGMENTS} kills, KITH_SEED=${SEED}`)
  const number = random(SEED + 1)
  const server = await startServer(t, { start: false })
  const config = join(server.home, 'config.yaml')
  await writeFile(config, 'log: { segment_kilobytes: 16, keep_megabytes: 0 }\n')
  server.args = ['--config', config]
  await server.start()
  const writeKey = await server.source('load')
  await server.apply(DEFINITIONS)
  const load = new Load(server, writeKey, { seed: SEED })
  for (let kill = 0; kill < KILLS_AMONG_SEGMENTS; kill++) {
    const before = load.acknowledged.size
    await until('the load to go on', () => load.acknowledged.size > before + 20)
    // A kill meets every stage of sealing, noting and removing.
    if (kill % 2 === 1) server.attempt(['flush'])
    await pause(Math.floor(number() * 700))
    await server.kill()
    if (kill % 4 === 3) await rm(join(server.data, 'state'), { recursive: true })
    await server.start()
  }
  await load.stop()
  await everythingIsThereOnce(server, load, 'load')
  const names = await readdir(join(server.data, 'log'))
  const begun = Math.min(...names.filter(name => name.endsWith('.segment')).map(name => Number(name.split('-')[0])))
  assert.ok(begun > 0 && names.includes('REMOVED'), `the log still begins at ${begun}: ${names}`)
  await server.kith('raw', 'verify')
  await server.kith('rebuild', '--verify', { timeout: 300_000 })
  await server.stop()
})

test('cln_4_rejects_are_put_through_again_once_over_kills_and_a_rebuild', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('large')
  const large = { type: 'track', event: 'Large', userId: 'u', messageId: 'large', properties: { note: 'x'.repeat(40_000) } }
  const told = await server.send(writeKey, 'batch', { batch: [large, { type: 'track', event: 'Small', userId: 'u' }] })
  assert.equal(told.rejected[0].code, 'event_too_large')
  const again = async (...flags) =>
    JSON.parse(await server.kith('replay', '--rejects', '--source', 'large', '--reason', 'event_too_large', '--json', ...flags))
  const asEver = await again()
  assert.deepEqual([asEver.rejects, asEver.accepted, asEver.decided_by], [1, 0, []], 'its cause is not mended')
  for (let time = 0; time < 2; time++) {
    const replayed = await again('--event-bytes', '65536', '--why', 'larger notes')
    // The second time it counts already, and nothing is appended for it.
    const once = time === 0 ? [1, 1, 0, 1] : [1, 0, 1, 0]
    assert.deepEqual([replayed.rejects, replayed.accepted, replayed.counted, replayed.decided_by.length], once)
    await server.kill()
    await server.start()
  }
  await server.kith('flush')
  const rows = await server.sql('SELECT event FROM clean.events ORDER BY event')
  assert.deepEqual(rows.map(row => row.event), ['Large', 'Small'])
  const [counted] = await server.sql('SELECT sum(event_count) AS n FROM curated.profiles')
  assert.equal(Number(counted.n), 2)
  await server.kith('rebuild', '--verify')
  await server.stop()
})

/** A batch that the server has in hand, but for its last byte. */
async function begun(server, writeKey, name) {
  const batch = Array.from({ length: 1_500 }, (_, at) => (
    { type: 'track', messageId: `${name}-${at}`, userId: `held-${at % 40}`, event: 'Held', properties: { text: 'x'.repeat(100) } }))
  const body = JSON.stringify({ batch })
  const headers = {
    'content-type': 'application/json', authorization: basic(writeKey), 'content-length': Buffer.byteLength(body), expect: '100-continue',
  }
  const sending = request({ method: 'POST', host: '127.0.0.1', port: server.port, path: '/v1/batch', headers, agent: false })
  const answer = new Promise(done => {
    sending.on('error', () => done(0))
    sending.on('response', response => response.resume().on('close', () => done(response.complete ? response.statusCode : 0)))
  })
  sending.flushHeaders()
  // It says so when it begins to read the body.
  const asked = await within(20_000, once(sending, 'continue').catch(() => {}))
  assert.ok(asked, 'the server asks for the body')
  await new Promise(done => sending.write(body.slice(0, -1), done))
  return {
    ids: batch.map(event => event.messageId),
    /** The status; 0 where there was no whole answer. */
    answer,
    /** Sends the last byte, and says whether the kernel has it all. */
    end() {
      sending.end(body.slice(-1))
      return sending.socket.writableLength === 0
    },
  }
}

/** Waits until nobody can connect any more: the end has begun. */
const doorsClosed = server => until('the doors to close', () => new Promise(done => {
  const trying = connect(server.port, '127.0.0.1', () => (trying.destroy(), done(false))).on('error', () => done(true))
}))

test('ops_1_sigterm_under_load_drains', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const heldKey = await server.source('held')
  const load = new Load(server, await server.source('load'), { retries: false, prefix: 'drain' })
  await until('some load', () => load.acknowledged.size > 300)
  const held = await Promise.all(Array.from({ length: 24 }, (_, at) => begun(server, heldKey, `held-${at}`)))
  const [whole, later] = [held.slice(0, 12), held.slice(12)]
  const sent = whole.map(one => one.end())
  // Not a moment between the last byte and SIGTERM: nothing of it has been answered.
  const stopped = server.stop()
  assert.ok(sent.every(Boolean), 'every byte was sent before SIGTERM')
  // And these are under way still once the end has begun.
  await doorsClosed(server)
  for (const one of later) one.end()
  assert.deepEqual(await Promise.all(held.map(one => one.answer)), held.map(() => 200), 'what was under way is taken')
  await stopped
  await load.stop()
  await server.start()
  await everythingIsThereOnce(server, load, 'load')
  const ids = new Set(held.flatMap(one => one.ids))
  await everythingIsThereOnce(server, { acknowledged: ids, sent: ids }, 'held')
  await server.kith('raw', 'verify')
  await server.stop()
})

/** What makes every event dear, the last as much as the first: segments that each count other events. */
const DEAR = Array.from({ length: 300 }, (_, at) => `
kind: segment
name: dear_${at}
spec:
  where:
    performed:
      event: Loaded
      where: { all: [{ property: turn, not_equals: ${-1 - at} }, { property: text, contains: ${'x'.repeat(1 + (at % 150))} }] }
      at_least: ${1 + at}
`).join('---\n')

/** How many records are durable and have still to be taken by the pipeline, and how large the log is. */
async function backlog(server) {
  const text = (await server.get('/metrics')).body
  const figure = series => Number(text.split('\n').find(line => line.startsWith(`${series} `)).split(' ')[1])
  return { records: figure('kith_stage_lag_records{stage="pipeline"}'), logBytes: figure('kith_log_bytes_on_disk') }
}

/** The records that the pipeline takes in a second while nobody sends: from one of its commits to another, some seconds later. */
async function pace(server) {
  const change = from => until('the pipeline to go on', async () => {
    const { records } = await backlog(server)
    return records < from && { records, at: Date.now() }
  })
  const first = await change((await backlog(server)).records)
  let last = first
  while (last.at - first.at < 6_000 && last.records > 0) last = await change(last.records)
  return ((first.records - last.records) * 1_000) / (last.at - first.at)
}

test('ops_1_sigterm_with_a_backlog_ends_soon_and_loses_nothing', { timeout: 600_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('load')
  await server.apply(DEAR)
  const loads = []
  /** Sends until that is so, or for a minute, or until the log is large. */
  const send = async enough => {
    const load = new Load(server, writeKey, { senders: 12, people: 400, devices: 400, prefix: `backlog-${loads.length}` })
    loads.push(load)
    const deadline = Date.now() + SENDING_MAX_MS
    await until('a backlog', async () => {
      const { records, logBytes } = await backlog(server)
      return records >= enough || logBytes > LOG_BYTES_MAX || Date.now() > deadline
    }, { within: 2 * SENDING_MAX_MS, every: 200 })
    await load.stop()
  }
  await send(6_000)
  const perSecond = await pace(server)
  await send(perSecond * BACKLOG_SECONDS)
  const { records, logBytes } = await backlog(server)
  t.diagnostic(`${records} records (${logBytes >> 20} MB) wait, and the pipeline takes ${Math.round(perSecond)} a second`)
  const begun = Date.now()
  await server.stop()
  t.diagnostic(`ended after ${Date.now() - begun} ms`)
  t.diagnostic(`ready again after ${await server.start()} ms`)
  // The end did not wait until everything had been taken. Figures are set within a second of the start.
  const left = await until('what was left', async () => {
    const now = await backlog(server)
    return now.records > 0 && now
  }, { within: 20_000, every: 20 })
  t.diagnostic(`${left.records} records were left`)
  await until('everything to be taken', async () => (await backlog(server)).records === 0, { within: 400_000, every: 500 })
  const union = of => new Set(loads.flatMap(load => [...load[of]]))
  await everythingIsThereOnce(server, { acknowledged: union('acknowledged'), sent: union('sent') }, 'load')
  await server.stop()
})

test('ops_1_a_follower_of_the_tail_does_not_hold_up_the_end', { timeout: 90_000 }, async t => {
  const server = await startServer(t)
  const response = await fetch(`${server.url}/api/spaces/main/tail`, { headers: { authorization: `Bearer ${server.key}` } })
  assert.equal(response.status, 200)
  t.after(() => response.body.cancel().catch(() => {}))
  await server.stop()
})

test('log_1_a_second_server_on_the_folder_is_refused', { timeout: 60_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  const args = ['serve', '--data', server.data, '--http', `127.0.0.1:${await freePort()}`]
  const second = await run(kithBinary, args, { env: { KITH_ADMIN_KEY: server.key }, timeout: 30_000 })
  assert.notEqual(second.code, 0)
  assert.match(second.stderr, /in use|another|already|locked/i)
  assert.ok(!second.stderr.includes('ended after'), 'it ends by itself')
  await server.send(writeKey, 'track', { userId: 'u', event: 'Fine' })
  await server.stop()
})

test('ops_2_a_folder_of_an_unknown_format_is_refused_and_left_alone', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  await server.send(writeKey, 'track', { userId: 'u', event: 'Kept' })
  await server.stop()
  const file = join(server.data, 'log', 'FORMAT')
  const good = await readFile(file, 'utf8')
  const args = ['serve', '--data', server.data, '--http', `127.0.0.1:${server.port}`]
  for (const [text, advice] of [
    [good.replace(/^kith-log \d+/, 'kith-log 99'), /newer version/],
    ['something else', /restore FORMAT/],
    ['', /restore FORMAT/],
  ]) {
    assert.notEqual(text, good)
    await writeFile(file, text)
    const refused = await run(kithBinary, args, { env: { KITH_ADMIN_KEY: server.key }, timeout: 30_000 })
    assert.notEqual(refused.code, 0, text)
    assert.match(refused.stderr, advice)
    assert.ok(!refused.stderr.includes('ended after'), 'it ends by itself')
    assert.equal(await readFile(file, 'utf8'), text, 'nothing was changed')
  }
  await writeFile(file, good)
  await server.start()
  await server.kith('flush')
  assert.deepEqual(await server.sql('SELECT event FROM clean.events'), [{ event: 'Kept' }])
  await server.stop()
})

test('seg_2_a_window_that_ends_while_the_server_is_down_ends_when_it_is_back', { timeout: 60_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  await server.apply(DEFINITIONS)
  await server.send(writeKey, 'track', { userId: 'sleeper', event: 'Seen' })
  const isIn = person => person.segments.some(member => member.name === 'seen_lately')
  await server.personWhen('user_id:sleeper', isIn)
  await server.kill()
  await pause(3_200)
  await server.start()
  await server.personWhen('user_id:sleeper', person => !isIn(person))
  await until('the exit', async () => {
    await server.kith('flush')
    const changes = await server.sql('SELECT change, cause FROM curated.membership_changes ORDER BY at')
    assert.deepEqual(changes, [{ change: 'entered', cause: 'event' }, { change: 'exited', cause: 'clock' }])
    return true
  })
  await server.stop()
})

test('seg_4_a_definition_that_is_being_applied_is_not_lost_by_a_kill', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  const load = new Load(server, writeKey, { people: 300, prefix: 'history' })
  await until('a history', () => load.acknowledged.size > 3_000)
  await load.stop()
  const file = join(server.home, 'definitions.yaml')
  await writeFile(file, DEFINITIONS.replace('at_least: 5, within: { last: 1s }', 'at_least: 5'))
  await server.kith('apply', '-f', file)
  await server.kill()
  await server.start()
  await until('the definitions to cover all history', async () => {
    const { refolds } = (await server.get('/api/status')).body
    return refolds.length === 0
  })
  await everythingIsThereOnce(server, load, 'web')
  const sums = await server.sql(`
    SELECT user_id, count(*) AS n FROM clean.events WHERE event = 'Loaded' GROUP BY user_id`)
  const busy = sums.filter(row => row.n >= 5).length
  const sizes = (await server.get('/api/spaces/main/segments')).body.segments
  assert.equal(sizes.find(segment => segment.name === 'busy').size, busy)
  const some = sums[0]
  assert.equal(Number((await server.person(`user_id:${some.user_id}`)).computed_traits.loaded), some.n)
  await server.kith('rebuild', '--verify')
  await server.stop()
})
