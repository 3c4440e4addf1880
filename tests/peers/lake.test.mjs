// Outsiders read the tables that a running server wrote, and see what `kith sql` sees; nothing personal is in metadata.
// Runs alone: `node --test tests/peers/lake.test.mjs`.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runPython } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

const PLANTED = 'planted-person-7f3a'
const DEFINITIONS = `
kind: segment
name: buyers
spec: { where: { performed: Order Completed } }
---
kind: segment
name: just_now
spec: { where: { performed: { event: Order Completed, within: { last: 1s } } } }
`
const KEYS = {
  'clean.events': ['event_key', 'event', 'properties'],
  'curated.profiles': ['profile_id', 'traits'],
  'curated.identifiers': ['type', 'value', 'profile_id'],
  'curated.memberships': ['segment', 'profile_id'],
  'curated.membership_changes': ['segment', 'profile_id', 'change'],
}
let server
let seen
const afterwards = []
before(async () => {
  server = await startServer({ after: task => afterwards.push(task) })
  const writeKey = await server.source('web')
  await server.apply(DEFINITIONS)
  for (let turn = 0; turn < 4; turn++) {
    for (let batch = 0; batch < 5; batch++) {
      await send(writeKey, Array.from({ length: 100 }, (_, at) => event(turn * 500 + batch * 100 + at)))
    }
    await server.kith('flush')
  }
  const person = `${PLANTED}@leak.example`
  await send(writeKey, [
    { type: 'identify', userId: PLANTED, anonymousId: `${PLANTED}-device`, traits: { email: person, name: PLANTED, phone: '+4930123456' } },
    { type: 'track', userId: PLANTED, event: 'Order Completed', properties: { note: PLANTED, nested: { deep: [PLANTED] } },
      context: { page: { url: `https://shop.example.com/${PLANTED}`, referrer: `https://mail.example.com/${PLANTED}`, title: PLANTED },
        campaign: { name: PLANTED }, ip: '203.0.113.9', userAgent: PLANTED } },
    { type: 'group', userId: PLANTED, groupId: `${PLANTED}-account`, traits: { owner: person } },
    { type: 'track', userId: PLANTED },
  ])
  // Nobody leaves a segment by time while the tables are read.
  await server.personWhen(`user_id:${PLANTED}`, ({ segments }) => segments.length > 0 && segments.every(({ name }) => name !== 'just_now'))
  await server.kith('flush')
  // While the server runs: its tables belong to everybody.
  seen = await runPython('lake/read_server.py', [join(server.data, 'tables.db'), 'main', PLANTED])
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

const event = number => number % 5 === 0
  ? { type: 'identify', messageId: `m${number}`, userId: `user-${number % 150}`, traits: { email: `user-${number % 150}@example.com`, rank: number } }
  : { type: 'track', messageId: `m${number}`, userId: `user-${number % 150}`, event: number % 3 ? 'Product Viewed' : 'Order Completed',
    properties: { total: number / 4, name: `Lamp № ${number}` } }

async function send(writeKey, batch) {
  const response = await fetch(`${server.url}/v1/batch`, {
    method: 'POST', headers: { authorization: basic(writeKey), 'content-type': 'application/json' }, body: JSON.stringify({ batch }),
  })
  assert.equal(response.status, 200, await response.text())
}

for (const [table, columns] of Object.entries(KEYS)) {
  test(`lak_1_pyiceberg_duckdb_and_polars_read_${table.replace('.', '_')}_as_kith_sql_does`, { timeout: 60_000 }, async () => {
    const rows = await server.sql(`SELECT ${columns.map(column => `"${column}"`).join(', ')} FROM ${table}`)
    const lines = rows.map(row => columns.map(column => String(row[column])).join('|'))
    // Python sorts by code point, and so does UTF-8.
    lines.sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
    const own = { rows: rows.length, checksum: createHash('sha256').update(lines.join('\n')).digest('hex') }
    assert.ok(rows.length > 0, 'there is something to read')
    for (const engine of ['pyiceberg', 'duckdb', 'polars']) assert.deepEqual(seen.tables[table][engine], own, engine)
  })
}

test('lak_1_every_event_is_there', { timeout: 60_000 }, async () => {
  assert.equal(seen.tables['clean.events'].duckdb.rows, 2003)
  assert.equal(seen.tables['curated.profiles'].polars.rows, 151)
  const [orders] = await server.sql('SELECT count(*) AS n FROM curated.orders')
  const [completed] = await server.sql(`SELECT count(*) AS n FROM clean.events WHERE event = 'Order Completed'`)
  assert.equal(orders.n, completed.n, 'the view of orders shows every order')
})

test('lak_6_nothing_personal_is_in_metadata', { timeout: 60_000 }, async () => {
  const [planted] = await server.sql(`
    SELECT count(*) AS n FROM clean.events WHERE user_id = '${PLANTED}' AND (traits LIKE '%${PLANTED}%' OR properties LIKE '%${PLANTED}%')`)
  assert.equal(planted.n, 3, 'it is in the rows')
  assert.equal((await server.sql('SELECT count(*) AS n FROM clean.rejects'))[0].n, 1)
  assert.ok(seen.looked_at > 50, `${seen.looked_at} pieces of metadata were looked at`)
  assert.ok(seen.bounds_seen, 'the search sees bounds: those of the column `event` are kept')
  assert.deepEqual(seen.leaks, [])
})
