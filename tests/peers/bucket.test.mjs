// The raw zone on a real S3 server: kills of either side, a store that is down or hangs, settings that cannot work, and what an
// outsider does to the objects. KITH_KILLS says how often something is killed (10 unless given), KITH_SEED when and what.
import assert from 'node:assert/strict'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Load, random } from './support/load.mjs'
import { freePort, kithBinary, pause, run, until } from './support/parts.mjs'
import { startS3 } from './support/s3.mjs'
import { startServer } from './support/server.mjs'

const KILLS = Number(process.env.KITH_KILLS ?? 10)
const SEED = Number(process.env.KITH_SEED ?? Date.now() % 1_000_000)
const COUNT = '{ kind: computed_trait, name: seen, spec: { function: count, event: Seen } }'
const LOCKED = 'retention: { mode: compliance, days: 1 }'

/** A server whose raw zone is in a bucket, and whose log lets go of everything that may go. */
async function serverOn(t, s3, url, { more = '', endpoint = s3.url, start = true } = {}) {
  const server = await startServer(t, { start: false, env: s3.env })
  const config = join(server.home, 'config.yaml')
  await writeFile(config, `log: { segment_kilobytes: 16, keep_megabytes: 0 }\nraw: { url: '${url}', endpoint: '${endpoint}', ${more} }\n`)
  server.args = ['--config', config]
  if (start) await server.start()
  return server
}

/** Flushes; where the store was away a moment ago, again until it is tried anew. */
const flush = server => until('a flush', async () => (await server.attempt(['flush'])).code === 0, { within: 90_000, every: 500 })

const verified = async server => JSON.parse((await server.attempt(['raw', 'verify', '--json'])).stdout)

const archiving = async server => (await server.get('/readyz')).body.checks.find(check => check.name === 'archiving')

async function theLogLetGo(server) {
  const names = await readdir(join(server.data, 'log'))
  const begun = Math.min(...names.filter(name => name.endsWith('.segment')).map(name => Number(name.split('-')[0])))
  assert.ok(begun > 0, `the log still begins at ${begun}: ${names}`)
}

test('raw_1_no_kill_of_the_server_or_of_the_store_loses_what_was_acknowledged', { timeout: 120_000 + KILLS * 40_000 }, async t => {
  t.diagnostic(`${KILLS} kills, KITH_SEED=${SEED}`)
  const number = random(SEED)
  const s3 = await startS3(t)
  const server = await serverOn(t, s3, 's3://locked/kith/one', { more: LOCKED })
  const load = new Load(server, await server.source('load'), { seed: SEED })
  for (let kill = 0; kill < KILLS; kill++) {
    const before = load.acknowledged.size
    await until('the load to go on', () => load.acknowledged.size > before + 20)
    const what = Math.floor(number() * 3)
    // A kill meets puts under way.
    if (what !== 1) server.attempt(['flush'])
    await pause(Math.floor(number() * 500))
    if (what !== 0) await s3.kill()
    if (what !== 1) await server.kill()
    if (what === 1) {
      const now = load.acknowledged.size
      await until('the load to go on without the store', () => load.acknowledged.size > now + 20)
    }
    // Where both were killed, the server starts before the store is there again.
    if (what !== 1) await server.start()
    if (what !== 0) await s3.start()
  }
  await load.stop()
  await flush(server)
  const rows = await server.sql(`SELECT message_id FROM clean.events WHERE source = 'load'`)
  const found = new Set(rows.map(row => row.message_id))
  assert.equal(found.size, rows.length, 'no event is there twice')
  assert.deepEqual([...load.acknowledged].filter(id => !found.has(id)).slice(0, 5), [], 'nothing acknowledged is lost')
  await flush(server)
  await theLogLetGo(server)
  const report = await verified(server)
  assert.deepEqual([report.sound, report.faults], [true, []])
  assert.ok(report.notes.some(note => /locked as asked: \d+ objects/.test(note)), `${report.notes}`)
  await server.kith('rebuild', '--verify', { timeout: 300_000 })
  // Somebody with nothing but boto3 and a decompressor reads the same.
  const { message_ids: outside } = await s3.outsider('locked', 'kith/one/raw', 'read')
  const seen = new Set(outside)
  assert.deepEqual([...load.acknowledged].filter(id => !seen.has(id)).slice(0, 5), [], 'raw has every event')
  assert.ok(!(await readdir(server.data)).includes('raw'), 'nothing of raw is in the folder')
  t.diagnostic(`${load.acknowledged.size} events acknowledged, ${report.objects} objects`)
  await server.stop()
})

test('raw_1_a_store_that_is_down_or_hangs_delays_nobody_and_is_told', { timeout: 240_000 }, async t => {
  const s3 = await startS3(t)
  // What listens and never answers.
  const sockets = new Set()
  const hanging = createServer(socket => sockets.add(socket.on('error', () => {}))).listen(await freePort(), '127.0.0.1')
  t.after(() => (hanging.close(), sockets.forEach(socket => socket.destroy())))
  await s3.kill()
  for (const endpoint of [s3.url, `http://127.0.0.1:${hanging.address().port}`]) {
    const server = await serverOn(t, s3, 's3://plain', { endpoint })
    const writeKey = await server.source('web')
    await server.apply(COUNT)
    for (let turn = 0; turn < 30; turn++) {
      await server.send(writeKey, 'track', { userId: 'patient', event: 'Seen', properties: { turn, text: 'x'.repeat(4_000) } })
    }
    await server.personWhen('user_id:patient', person => Number(person.computed_traits.seen) === 30)
    if (endpoint === s3.url) {
      await until('it to be told', async () => !(await archiving(server)).ok, { within: 60_000 })
      assert.match((await archiving(server)).note, /failed \d+ times in a row/)
      const ready = await server.get('/readyz')
      assert.deepEqual([ready.status, ready.body.degraded], [200, true], 'the server takes requests')
      const { body } = await server.get('/metrics')
      assert.match(body, /kith_raw_failures_total [1-9]/)
      assert.match(body, /kith_stage_lag_records\{stage="raw"\} [1-9]/)
      const refused = await server.attempt(['flush'])
      assert.notEqual(refused.code, 0)
      const status = JSON.parse(await server.kith('status', '--json'))
      assert.match(status.stages.find(stage => stage.name === 'raw').fault, /did not answer/)
      await s3.start()
      await until('it to have passed', async () => (await archiving(server)).ok, { within: 90_000 })
      await flush(server)
      assert.equal((await verified(server)).sound, true)
    }
    // A store that hangs does not hold up the end.
    await server.stop()
    const log = await server.log(10_000)
    assert.ok(!log.includes(s3.env.AWS_SECRET_ACCESS_KEY), 'no secret is logged')
  }
})

test('raw_1_a_place_that_cannot_keep_raw_is_refused_at_the_start', { timeout: 120_000 }, async t => {
  const s3 = await startS3(t)
  const cases = [
    ['s3://locked', {}, { AWS_SECRET_ACCESS_KEY: 'another-secret' }, /AWS_SECRET_ACCESS_KEY/],
    ['s3://locked', {}, { AWS_ACCESS_KEY_ID: 'nobody' }, /AWS_ACCESS_KEY_ID/],
    ['s3://locked', {}, { AWS_SECRET_ACCESS_KEY: '' }, /AWS_SECRET_ACCESS_KEY/],
    ['s3://locked', {}, { AWS_REGION: 'eu-central-1' }, /region/],
    ['s3://none-such', {}, {}, /NoSuchBucket/],
    ['s3://plain', { more: LOCKED }, {}, /has no object lock/],
    ['plain', {}, {}, /s3:\/\/BUCKET/],
  ]
  for (const [url, options, env, advice] of cases) {
    const server = await serverOn(t, s3, url, { ...options, start: false })
    const args = ['serve', '--data', server.data, '--http', `127.0.0.1:${server.port}`, ...server.args]
    const refused = await run(kithBinary, args, { env: { ...s3.env, KITH_ADMIN_KEY: server.key, ...env }, timeout: 40_000 })
    assert.notEqual(refused.code, 0, url)
    assert.match(refused.stderr, advice)
    assert.ok(!refused.stderr.includes('ended after'), 'it ends by itself')
    assert.ok(!/another-secret|very-secret/.test(refused.stderr + refused.stdout), 'no secret is told')
  }
})

test('raw_1_what_outsiders_put_over_locked_objects_harms_nothing_and_is_named', { timeout: 180_000 }, async t => {
  const s3 = await startS3(t)
  const server = await serverOn(t, s3, 's3://locked', { more: LOCKED })
  const writeKey = await server.source('web')
  await server.apply(COUNT)
  const large = { type: 'track', event: 'Large', userId: 'u', messageId: 'large', properties: { note: 'x'.repeat(40_000) } }
  await server.send(writeKey, 'batch', { batch: [large] })
  for (let turn = 0; turn < 40; turn++) await server.send(writeKey, 'track', { userId: `u${turn % 3}`, event: 'Seen', properties: { text: 'x'.repeat(2_000) } })
  await flush(server)
  await theLogLetGo(server)
  assert.equal((await verified(server)).sound, true)
  for (const [what, told] of [['overwrite', /written over/], ['delete', /was deleted/]]) {
    await s3.outsider('locked', 'raw', what)
    const report = await verified(server)
    assert.equal(report.sound, false)
    assert.ok(report.faults.length > 0 && report.faults.every(fault => /^exposed: /.test(fault) && told.test(fault)), report.faults[0])
    await server.kith('rebuild', '--verify', { timeout: 120_000 })
  }
  // The live state comes back from the locked versions, and so does a reject that only raw has.
  await server.stop()
  await rm(join(server.data, 'state'), { recursive: true })
  await server.start()
  await server.personWhen('user_id:u0', person => Number(person.computed_traits.seen) === 14)
  const again = JSON.parse(await server.kith('replay', '--rejects', '--source', 'web', '--event-bytes', '65536', '--why', 'larger notes', '--json'))
  assert.equal(again.accepted, 1)
  const { refused, objects } = await s3.outsider('locked', 'raw', 'delete_versions')
  assert.ok(refused >= objects, `${refused} of ${objects} locked versions were kept`)
  await flush(server)
  assert.deepEqual((await verified(server)).faults, [])
  await server.stop()
})

test('raw_2_a_loss_in_a_bucket_is_named_and_borne_only_when_accepted', { timeout: 180_000 }, async t => {
  const s3 = await startS3(t)
  const server = await serverOn(t, s3, 's3://plain/zone')
  const writeKey = await server.source('web')
  for (let turn = 0; turn < 40; turn++) await server.send(writeKey, 'track', { userId: 'u', event: 'Seen', properties: { text: 'x'.repeat(2_000) } })
  await flush(server)
  await theLogLetGo(server)
  const { keys } = await s3.outsider('plain', 'zone/raw', 'read')
  await rm(s3.file('plain', keys.find(key => key.includes('source=web') && key.endsWith('.zst'))))
  const report = await verified(server)
  const missing = report.faults.find(fault => fault.startsWith('missing: '))
  assert.ok(missing, `${report.faults}`)
  assert.notEqual((await server.attempt(['rebuild', '--verify'])).code, 0)
  const [range] = missing.match(/\d+-\d+-\d+-\d+/)
  await server.kith('rebuild', '--accept-loss', range, '--reason', 'no copy')
  await flush(server)
  assert.equal((await verified(server)).sound, true)
  await server.stop()
})
