// A definition that comes after history, twice: folded out of the tables as a whole, as for very many people, and read
// person by person. Both have the members that plain counting gives, also when the definition is edited while it is
// folded. KITH_SEED says which history. Runs alone: `node --test tests/peers/folds.test.mjs`.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { random } from './support/load.mjs'
import { folder, until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const SEED = Number(process.env.KITH_SEED ?? Date.now() % 1_000_000)
const PEOPLE = 300
const EVENTS = 4_000
const MINUTE = 60_000
const FOLDING = 'history is folded from the tables for a new definition'
const WAITS = 'a decision waits until it can be taken'

/** A segment with a count and a sequence. */
const regulars = ({ total, orders, gap, visits }) => ({
  kind: 'segment',
  name: 'regulars',
  spec: {
    where: {
      all: [
        { performed: { event: 'Order Completed', where: { property: 'total', greater_or_equal: total }, at_least: orders } },
        { sequence: { first: 'Product Viewed', then: 'Order Completed', gap_less_than: `${gap}m`, at_least: visits } },
      ],
    },
  },
})

/** Who is in it, from the words of docs/segments.md alone: `b` is the first order after a view. */
function members(events, { total, orders, gap, visits }) {
  const found = []
  for (let person = 0; person < PEOPLE; person++) {
    const theirs = events.filter(event => event.person === person)
    const bought = theirs.filter(event => event.event === 'Order Completed')
    const dear = bought.filter(event => event.properties.total >= total).length
    const done = theirs.filter(event => event.event === 'Product Viewed').filter(({ at: a }) => {
      const b = Math.min(...bought.map(event => event.at).filter(at => at > a))
      return b < a + gap * MINUTE
    }).length
    if (dear >= orders && done >= visits) found.push(`u${person}`)
  }
  return found.sort()
}

/** Events of people who use two devices each, over the last twenty days, in no order. */
function history(number, count, prefix) {
  const begin = Date.now() - 20 * 24 * 60 * MINUTE
  return Array.from({ length: count }, (_, at) => ({
    person: Math.floor(number() * PEOPLE),
    event: number() < 0.45 ? 'Order Completed' : 'Product Viewed',
    at: begin + Math.floor(number() * 19 * 24 * 60) * MINUTE,
    properties: { total: Math.floor(number() * 100) },
    messageId: `${prefix}${at}`,
    device: Math.floor(number() * 2),
    signedIn: number() < 0.6,
  }))
}

const sent = ({ person, device, signedIn, at, event, properties, messageId }) => ({
  type: 'track', event, properties, messageId, timestamp: new Date(at).toISOString(),
  anonymousId: `d${person}-${device}`, ...(signedIn ? { userId: `u${person}` } : {}),
})

/** Two servers with the same history: one folds it from the tables, the other reads rows. */
async function both(t) {
  t.diagnostic(`KITH_SEED=${SEED}`)
  const number = random(SEED)
  const config = join(await folder(t), 'kith.yaml')
  await writeFile(config, 'fold_tables_from_people: 1\n')
  const servers = [await startServer(t, { args: ['--config', config] }), await startServer(t)]
  const keys = await Promise.all(servers.map(server => server.source('shop')))
  const send = async events => {
    for (let from = 0; from < events.length; from += 500) {
      const batch = events.slice(from, from + 500).map(sent)
      await Promise.all(servers.map((server, at) => server.send(keys[at], 'batch', { batch })))
    }
  }
  // Every device is known to be somebody's.
  const signIns = Array.from({ length: PEOPLE * 2 }, (_, at) => ({
    person: at >> 1, device: at & 1, signedIn: true, at: Date.now() - MINUTE, event: 'Signed In', properties: {}, messageId: `in${at}`,
  }))
  const events = history(number, EVENTS, 'e')
  await send(signIns)
  await send(events)
  await Promise.all(servers.map(server => server.kith('flush')))
  return { servers, number, send, events }
}

/** How often the server said something. */
const times = async (server, text) => (await readFile(join(server.home, 'server.log'), 'utf8')).split(text).length - 1

/** Each has exactly these people, was told of each entry and exit once, and equals a replay. */
async function has(server, wanted) {
  await server.kith('flush')
  const found = await server.sql(`
    SELECT i.value FROM curated.memberships m JOIN curated.identifiers i ON m.profile_id = i.profile_id
    WHERE m.segment = 'regulars' AND i.type = 'user_id' ORDER BY 1`)
  assert.deepEqual(found.map(row => row.value).sort(), wanted)
  const listed = await server.kith('segment', 'members', 'regulars', '--json')
  assert.equal(listed.split('\n').filter(Boolean).length, wanted.length)
  const told = await server.sql(`
    SELECT sum(CASE change WHEN 'entered' THEN 1 ELSE -1 END) AS inside FROM curated.membership_changes
    WHERE segment = 'regulars' GROUP BY profile_id`)
  assert.ok(told.every(row => [0, 1].includes(Number(row.inside))), 'whoever enters was out, and whoever leaves was in')
  assert.equal(told.filter(row => Number(row.inside) === 1).length, wanted.length)
  await server.kith('rebuild', '--verify')
}

test('seg_4_history_that_is_folded_from_the_tables_has_the_members_that_rows_give', { timeout: 180_000 }, async t => {
  const { servers, events } = await both(t)
  const asked = { total: 40, orders: 3, gap: 1_200, visits: 2 }
  const wanted = members(events, asked)
  assert.ok(wanted.length > 20 && wanted.length < PEOPLE - 20, `${wanted.length} of ${PEOPLE}`)
  for (const server of servers) await server.apply(JSON.stringify(regulars(asked)))
  const [folding, reading] = servers
  const log = await folding.log(10_000)
  assert.match(log, /history is folded .*carriers/)
  assert.doesNotMatch(log, /cannot be folded|rows are read instead/)
  assert.deepEqual([await times(folding, FOLDING), await times(reading, FOLDING)], [1, 0])
  for (const server of servers) await has(server, wanted)
  for (const server of servers) await server.stop()
})

test('seg_4_a_definition_that_is_edited_twice_while_history_is_folded_has_its_last_members', { timeout: 180_000 }, async t => {
  const { servers, number, send, events } = await both(t)
  const [folding] = servers
  const edits = [
    { total: 40, orders: 3, gap: 1_200, visits: 2 },
    { total: 55, orders: 2, gap: 600, visits: 1 },
    { total: 30, orders: 4, gap: 2_400, visits: 3 },
  ]
  // Folding waits until the tables have the newest: the edits come right after each other while it is under way.
  const more = history(number, 180, 'more-')
  events.push(...more)
  await send(more)
  for (const edit of edits) {
    const body = { documents: [regulars(edit)] }
    const applied = servers.map(server => server.get('/api/spaces/main/definitions/apply', { method: 'POST', body }))
    for (const { status } of await Promise.all(applied)) assert.equal(status, 200)
  }
  const last = history(number, 60, 'last-')
  events.push(...last)
  await send(last)
  await until('all edits to be taken', async () => (await times(folding, FOLDING)) === edits.length)
  assert.ok(await times(folding, WAITS) > 0, 'edits came while history was folded')
  const [wanted, ...earlier] = edits.map(edit => members(events, edit)).reverse()
  for (const others of earlier) assert.notDeepEqual(wanted, others)
  assert.ok(wanted.length > 20 && wanted.length < PEOPLE - 20, `${wanted.length} of ${PEOPLE}`)
  for (const server of servers) {
    await server.kith('flush')
    // Nothing is left to decide; what was decided may still be on its way.
    assert.match(await server.apply(JSON.stringify(regulars(edits.at(-1)))), /1 unchanged/)
    assert.deepEqual((await server.get('/api/status')).body.refolds, [])
    await has(server, wanted)
    await server.stop()
  }
})
