// Ten times what the doors have room for, taken by a whole server that never has more than 512 MB: nothing is killed, what
// is too much is told so, and what was acknowledged is in `clean.events` once. Works with support/flood.mjs. Runs alone:
// `node --test tests/peers/overload.test.mjs`.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Flood, Stall } from './support/flood.mjs'
import { folder, until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const LIMIT_BYTES = 512 << 20
/** The bytes of bodies that the doors have room for at once (`DoorsConfig::in_flight_bytes_max`). */
const ROOM_BYTES = 24 << 20
/** Senders, each of which always has a body under way. */
const SENDERS = 1_200
/** Acknowledged batches of 100 after which the load ends. */
const BATCHES = 300

/** The most memory that a server has had at any moment, mapped files included: what a container of that size would end it for. */
async function mostMemory(server) {
  const status = await readFile(`/proc/${server.child.pid}/status`, 'utf8')
  return Number(status.match(/^VmHWM:\s+(\d+) kB/m)[1]) * 1024
}

/** A figure of /metrics. */
async function figure(server, name) {
  const text = await (await fetch(`${server.url}/metrics`, { signal: AbortSignal.timeout(30_000) })).text()
  return Number(text.split('\n').find(line => line.startsWith(`${name} `))?.split(' ')[1])
}

test('col_5_ten_times_the_load_within_512_mb_kills_nothing_and_loses_nothing', { timeout: 180_000 }, async t => {
  const config = join(await folder(t), 'kith.yaml')
  await writeFile(config, 'cache_megabytes: 64\n')
  const server = await startServer(t, { args: ['--config', config] })
  const writeKey = await server.source('flood')
  await server.apply(`
kind: computed_trait
name: orders
spec: { function: count, event: Ordered }
---
kind: segment
name: buyers
spec: { where: { performed: { event: Ordered, at_least: 2 } } }
`)
  // Senders that begin bodies and never end them, and hold what they have sent.
  const stalled = await Stall.open(server, writeKey, { connections: 25, bytes: 100_000 })
  const flood = new Flood(server, writeKey, { connections: SENDERS, eventBytes: 2_200, enough: BATCHES })
  assert.ok(SENDERS * flood.bodyBytes >= 10 * ROOM_BYTES)
  t.after(() => (flood.stop(), stalled.close()))
  const ended = () => server.child.exitCode ?? server.child.signalCode
  await until('the load to be taken', () => flood.ending || ended() !== null, { within: 90_000 })
  assert.equal(ended(), null, `the server ended:\n${await server.log()}`)
  const backlog = await figure(server, 'kith_stage_lag_records{stage="pipeline"}')
  await flood.ended()
  stalled.close()
  assert.equal(flood.fault, undefined)
  t.diagnostic(`offered ${flood.offered} batches of 100: ${flood.acknowledged.size} taken, ${flood.overloaded} told 429, ${flood.dropped} connections dropped; ${backlog} records waited for the pipeline`)
  t.diagnostic(`memory: ${(await mostMemory(server)) >> 20} MB at most`)
  assert.ok(flood.overloaded > 0, 'the load was more than the doors took')
  assert.equal(flood.withoutRetryAfter, 0, 'every 429 says when to come again')
  // A quiet sender is served at once.
  await server.send(writeKey, 'track', { messageId: 'afterwards', userId: 'after', event: 'Ordered' })
  await server.kith('flush', { timeout: 150_000 })
  const rows = await server.sql(`SELECT split_part(message_id, '-', 2) AS batch, count(*) AS n, count(DISTINCT message_id) AS ids
    FROM clean.events WHERE source = 'flood' AND message_id <> 'afterwards' GROUP BY 1`)
  const found = new Map(rows.map(row => [Number(row.batch), row]))
  for (const batch of flood.acknowledged) {
    const row = found.get(batch)
    assert.ok(row, `batch ${batch} was acknowledged and is lost`)
    assert.deepEqual([Number(row.n), Number(row.ids)], [100, 100], `batch ${batch}`)
  }
  for (const batch of found.keys()) assert.ok(flood.sent.has(batch), `batch ${batch} was never sent`)
  const most = await mostMemory(server)
  t.diagnostic(`memory after everything was in the tables: ${most >> 20} MB at most`)
  assert.ok(most < LIMIT_BYTES, `the server had ${most >> 20} MB`)
  await server.stop()
})
