// Outsiders read the raw zone that a running server wrote: every body as it was sent, byte for byte, with its hash, its address
// and the place of each event in it; and they agree with clean.events. Runs alone: `node --test tests/peers/raw.test.mjs`.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { runPython } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

// What a parser would not give back: spaces, escapes, an order of keys, numbers beyond doubles, a key that comes twice.
const BODIES = [
  `{"batch":[ {"type":"track", "messageId":"m1","userId":"u1","event":"Order Completed","properties":{"total": 1.10,"big":9007199254740993,"name":"L\\u00e4mp № 7 \\"x\\""}} ,
    {"type":"identify","messageId":"m2","userId":"u1","traits":{"z":1,"a":2}}\n],"sentAt":"2026-01-01T00:00:00Z" }`,
  `  {"type":"track","messageId":"m3","anonymousId":"a1","event":"Viewed","properties":{"emoji":"🛒","nul":"\\u0000"}}`,
  `{"batch":[{"type":"track","messageId":"m4","userId":"u2","event":"Fine"},{"type":"track","messageId":"m5","userId":"u2"}]}`,
]
const DOORS = ['batch', 'track', 'batch']
// Not UTF-8: refused, and kept all the same.
const NO_TEXT = Buffer.concat([Buffer.from('{"type":"track","userId":"u3","event":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')])

let server
let key
let seen
const afterwards = []
before(async () => {
  server = await startServer({ after: task => afterwards.push(task) })
  key = await server.source('web')
  const other = await server.source('app')
  for (const [at, body] of BODIES.entries()) await post(key, DOORS[at], body, 200)
  await post(key, 'track', NO_TEXT, 400)
  const zipped = gzipSync(BODIES[1].replace('m3', 'm6'))
  await post(other, 'track', zipped, 200, { 'content-encoding': 'gzip' })
  await server.apply('{ kind: segment, name: buyers, spec: { where: { performed: Order Completed } } }')
  await server.kith('flush')
  seen = await runPython('lake/read_raw.py', [server.data, 'main'])
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

async function post(writeKey, door, body, status, headers = {}) {
  const response = await fetch(`${server.url}/v1/${door}`, {
    method: 'POST', body, headers: { authorization: basic(writeKey), 'content-type': 'application/json', ...headers },
  })
  assert.equal(response.status, status, await response.text())
}

const bytes = text => Buffer.from(text, 'base64')

test('raw_1_plain_python_reads_every_body_byte_for_byte_with_its_hash', { timeout: 60_000 }, async () => {
  const sent = [...BODIES.map(Buffer.from), NO_TEXT]
  const lines = seen.python.filter(line => line.source === 'web')
  assert.deepEqual(lines.map(line => bytes(line.body)), sent, 'in the order of receipt, as they were sent')
  const [unzipped] = seen.python.filter(line => line.source === 'app')
  assert.equal(bytes(unzipped.body).toString(), BODIES[1].replace('m3', 'm6'), 'after content decoding')
  for (const line of seen.python) {
    assert.ok(line.hash_is_right && line.placed, line.address)
    assert.deepEqual(line.keys, line.events.length ? [''] : [], 'every event is clear')
  }
  const decisions = seen.python.filter(line => line.source === '_decisions')
  assert.ok(decisions.some(line => bytes(line.body).toString().includes('"buyers"')), 'decisions are there, too')
  const numbers = seen.python.map(line => Number(line.address.split('-')[2])).sort((one, other) => one - other)
  assert.deepEqual(numbers, numbers.map((_, at) => at), 'no address is missing')
})

test('raw_1_duckdb_reads_the_compressed_json_lines_as_they_are', { timeout: 60_000 }, async () => {
  const own = seen.python.map(({ source, address, events }) => ({ source, address, hash_is_right: true, events: events.length, placed: true }))
  own.sort((one, other) => (one.address < other.address ? -1 : 1))
  assert.deepEqual(seen.duckdb, own)
})

test('raw_1_events_in_raw_are_those_of_clean_events_by_address', { timeout: 60_000 }, async () => {
  const rows = await server.sql(`
    SELECT generation, partition_no, sequence, event_index, source, event, message_id, received_at FROM clean.events ORDER BY sequence, event_index`)
  assert.deepEqual(rows.map(row => row.message_id).sort(), ['m1', 'm2', 'm3', 'm4', 'm6'])
  const lines = new Map(seen.python.map(line => [line.address, line]))
  for (const row of rows) {
    const line = lines.get(`${row.generation}-${row.partition_no}-${row.sequence}-0`)
    assert.deepEqual([line.source, line.received_at], [row.source, row.received_at], row.message_id)
    const event = JSON.parse(bytes(line.events[row.event_index]).toString())
    assert.equal(event.messageId, row.message_id, 'the range is that of this event')
    assert.equal(event.event ?? event.type, row.event, 'calls without a name have that of their type')
  }
  const [reject] = await server.sql('SELECT generation, partition_no, sequence, event_index, original FROM clean.rejects WHERE original LIKE \'%m5%\'')
  const line = lines.get(`${reject.generation}-${reject.partition_no}-${reject.sequence}-0`)
  assert.equal(bytes(line.events[reject.event_index]).toString(), reject.original, 'a reject is in raw as it came')
})

test('raw_1_no_credential_is_in_raw', { timeout: 60_000 }, async () => {
  const files = await readdir(join(server.data, 'raw'), { recursive: true, withFileTypes: true })
  for (const file of files.filter(file => file.isFile() && file.name.endsWith('.json'))) {
    const text = await readFile(join(file.parentPath, file.name), 'utf8')
    assert.ok(!text.includes(key) && !text.includes(server.key), file.name)
  }
  const secrets = [key, Buffer.from(`${key}:`).toString('base64'), server.key]
  for (const line of seen.python) for (const secret of secrets) assert.ok(!JSON.stringify(line).includes(secret) && !bytes(line.body).includes(secret), line.address)
})
