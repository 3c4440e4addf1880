// The way of an event through a running server: door, clean zone, person, computed trait, segment in and out, the APIs
// that read it, and who may read. Runs alone: `node --test tests/peers/spine.test.mjs`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { until } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

const DEFINITIONS = `
kind: computed_trait
name: spent
spec: { function: sum, event: Order Completed, property: total }
---
kind: segment
name: just_now
spec:
  description: Bought within the last three seconds
  where: { performed: { event: Order Completed, within: { last: 3s } } }
---
kind: segment
name: buyers
spec: { where: { performed: Order Completed } }
`
let server
let writeKey
const afterwards = []
before(async () => {
  server = await startServer({ after: task => afterwards.push(task) })
  writeKey = await server.source('web')
  await server.apply(DEFINITIONS)
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

const order = (userId, total, more = {}) =>
  server.send(writeKey, 'track', { userId, event: 'Order Completed', properties: { total }, ...more })
const isIn = (person, segment) => person.segments.some(member => member.name === segment)
const shape = (path, key) => server.get(`/v1/spaces/main/collections/users/profiles/${path}`, { key })

test('seg_2_a_purchase_enters_a_segment_and_time_alone_leaves_it', { timeout: 60_000 }, async () => {
  await server.send(writeKey, 'identify', { userId: 'ada', traits: { email: 'ada@example.com', city: 'Bonn' } })
  await order('ada', 19.9)
  await order('ada', 5.1)
  const member = await server.personWhen('user_id:ada', person => isIn(person, 'just_now'), { within: 10_000 })
  assert.ok(isIn(member, 'buyers'))
  const paid = await server.personWhen('email:ada@example.com', person => person.computed_traits.spent !== undefined)
  assert.equal(Number(paid.computed_traits.spent), 25, 'sums are exact: 19.9 + 5.1')
  // No event comes any more: only time goes by.
  const left = await server.personWhen('user_id:ada', person => !isIn(person, 'just_now'), { within: 10_000 })
  assert.ok(isIn(left, 'buyers'))
  await server.kith('flush')
  const changes = await server.sql(`
    SELECT segment, change, cause FROM curated.membership_changes WHERE segment = 'just_now' ORDER BY at`)
  assert.deepEqual(changes.map(change => [change.change, change.cause]), [['entered', 'event'], ['exited', 'clock']])
  const spans = await server.sql(`
    SELECT max(at) FILTER (WHERE change = 'exited') > min(at) FILTER (WHERE change = 'entered') AS in_order
    FROM curated.membership_changes WHERE segment = 'just_now'`)
  assert.equal(spans[0].in_order, true)
})

test('api_1_segments_profile_api_reads_a_person', { timeout: 60_000 }, async () => {
  await server.send(writeKey, 'identify', { userId: 'grace', traits: { email: 'grace@example.com', city: 'Ulm' } })
  await order('grace', 42)
  await server.personWhen('user_id:grace', person => isIn(person, 'buyers'))
  const { key } = JSON.parse(await server.kith('key', 'create', 'reader', '--space', 'main', '--json'))
  // Segment's clients send the key as the user name of Basic.
  const response = await fetch(`${server.url}/v1/spaces/main/collections/users/profiles/user_id:grace/traits?limit=100`, {
    headers: { authorization: basic(key) },
  })
  const traits = await response.json()
  assert.equal(response.status, 200, JSON.stringify(traits))
  assert.equal(traits.traits.city, 'Ulm')
  assert.equal(traits.traits.buyers, true)
  assert.equal(Number(traits.traits.spent), 42)
  assert.deepEqual(Object.keys(traits.cursor).sort(), ['has_more', 'limit', 'next', 'url'])

  const ids = (await shape('email:grace@example.com/external_ids', key)).body.data
  assert.deepEqual(ids.map(one => `${one.type}:${one.id}`).sort(), ['email:grace@example.com', 'user_id:grace'])
  const events = (await shape('user_id:grace/events', key)).body.data
  const bought = events.find(event => event.event === 'Order Completed')
  assert.equal(bought.properties.total, 42)
  assert.equal((await shape('user_id:nobody/traits', key)).status, 404)
})

test('api_1_reading_needs_a_key_and_a_write_key_cannot', { timeout: 60_000 }, async () => {
  const own = '/api/spaces/main/profiles/user_id:grace'
  const segments = '/v1/spaces/main/collections/users/profiles/user_id:grace/traits'
  for (const path of [own, segments, '/api/spaces/main/segments', '/api/spaces/main/tail', '/api/status']) {
    assert.equal((await server.get(path, { key: writeKey })).status, 403, path)
    assert.equal((await server.get(path, { key: '' })).status, 401, path)
    assert.equal((await server.get(path, { key: 'no-such-key-at-all' })).status, 401, path)
  }
  const sql = { method: 'POST', body: { sql: 'SELECT 1 AS one' } }
  assert.equal((await server.get('/api/sql', { ...sql, key: writeKey })).status, 403)
  assert.equal((await server.get('/api/sql', sql)).status, 200)
  const refused = await server.attempt(['profile', 'get', 'user_id:grace'], { env: { KITH_KEY: writeKey } })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /write key/)
})

test('ops_1_the_tail_shows_events_rejects_and_changes_as_they_happen', { timeout: 60_000 }, async t => {
  const follower = new AbortController()
  t.after(() => follower.abort())
  const response = await fetch(`${server.url}/api/spaces/main/tail`, {
    headers: { authorization: `Bearer ${server.key}` }, signal: follower.signal,
  })
  assert.match(response.headers.get('content-type'), /^text\/event-stream/)
  const items = []
  const reading = (async () => {
    let text = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk
      const parts = text.split('\n\n')
      text = parts.pop()
      for (const part of parts) {
        const field = name => part.split('\n').find(line => line.startsWith(`${name}:`))?.slice(name.length + 1).trim()
        if (field('event')) items.push({ kind: field('event'), body: JSON.parse(field('data')) })
      }
    }
  })().catch(error => error)
  await order('tail-user', 7, { messageId: 'tail-1' })
  const broken = await fetch(`${server.url}/v1/batch`, {
    method: 'POST',
    headers: { authorization: basic(writeKey), 'content-type': 'application/json' },
    body: JSON.stringify({ batch: [{ type: 'track', userId: 'tail-user' }, { type: 'track', userId: 'tail-user', event: 'Fine' }] }),
  })
  const told = await broken.json()
  assert.equal(told.rejected.length, 1)
  assert.equal(told.rejected[0].index, 0)
  const has = (kind, wanted) => items.some(item => item.kind === kind && wanted(item.body))
  await until('the tail to show the event, the change and the reject', () =>
    has('event', body => body.messageId === 'tail-1')
    && has('membership', body => body.segment === 'just_now' && body.change === 'entered')
    && has('reject', () => true)
    && has('event', body => body.event === 'Fine'))
  follower.abort()
  await reading
})

test('cln_4_a_bad_event_is_a_row_of_rejects_and_its_neighbours_are_taken', { timeout: 60_000 }, async () => {
  const key = await server.source('mixed')
  const response = await fetch(`${server.url}/v1/batch`, {
    method: 'POST',
    headers: { authorization: basic(key), 'content-type': 'application/json' },
    body: JSON.stringify({ batch: [
      { type: 'track', userId: 'mixed', event: 'One' },
      { type: 'track', userId: 'mixed' },
      { type: 'track', userId: 'mixed', event: 'Three' },
    ] }),
  })
  assert.equal(response.status, 200)
  await server.kith('flush')
  const events = await server.sql(`SELECT event FROM clean.events WHERE source = 'mixed' ORDER BY event_index`)
  assert.deepEqual(events.map(row => row.event), ['One', 'Three'])
  const rejects = await server.sql(`SELECT event_index, code, original FROM clean.rejects WHERE source = 'mixed'`)
  assert.equal(rejects.length, 1)
  assert.equal(Number(rejects[0].event_index), 1)
  assert.deepEqual(JSON.parse(rejects[0].original), { type: 'track', userId: 'mixed' })
})

test('cln_2_a_repeated_message_counts_once', { timeout: 60_000 }, async () => {
  const key = await server.source('repeats')
  for (let turn = 0; turn < 3; turn++) {
    await server.send(key, 'track', { userId: 'again', event: 'Order Completed', messageId: 'same', properties: { total: 10 } })
  }
  const person = await server.personWhen('user_id:again', found => found.computed_traits.spent !== undefined)
  await server.kith('flush')
  assert.equal((await server.sql(`SELECT count(*) AS n FROM clean.events WHERE source = 'repeats'`))[0].n, 1)
  assert.equal(Number((await server.person('user_id:again')).computed_traits.spent), 10)
  assert.equal(Number(person.computed_traits.spent), 10)
})

test('sql_only_reads', { timeout: 60_000 }, async () => {
  const statements = [
    'DROP TABLE clean.events', 'DELETE FROM clean.events', `INSERT INTO clean.rejects VALUES (1)`, 'CREATE TABLE t AS SELECT 1',
    `COPY (SELECT 1) TO '${join(server.home, 'out.csv')}'`, `CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'`,
    'SET datafusion.execution.batch_size = 1', 'SELECT 1; SELECT 2',
  ]
  for (const statement of statements) {
    const { code, stderr, stdout } = await server.attempt(['sql', statement, '--json'])
    assert.notEqual(code, 0, `${statement}: ${stdout}`)
    assert.match(stderr, /error/, statement)
  }
  assert.deepEqual(await server.sql('SELECT 1 AS one'), [{ one: 1 }])
})

test('spc_1_two_spaces_see_nothing_of_each_other', { timeout: 60_000 }, async () => {
  await server.kith('space', 'create', 'other')
  const otherKey = await server.source('web', 'other')
  await server.send(otherKey, 'identify', { userId: 'ada', traits: { city: 'Oslo', email: 'ada@example.com' }, messageId: 'apart' })
  await server.send(writeKey, 'identify', { userId: 'ada', traits: { city: 'Bonn' }, messageId: 'apart' })
  const there = await until('the person of the other space', () => server.person('user_id:ada', 'other'))
  const here = await server.personWhen('user_id:ada', person => person.traits.city === 'Bonn')
  assert.equal(there.traits.city, 'Oslo')
  assert.notEqual(there.id, here.id)
  assert.deepEqual(there.segments, [], 'definitions are of one space')
  assert.equal(await server.person('user_id:grace', 'other'), undefined)
  await server.kith('flush')
  // The same message id in both spaces is two events.
  for (const space of ['main', 'other']) {
    assert.equal((await server.sql(`SELECT count(*) AS n FROM clean.events WHERE message_id = 'apart'`, space))[0].n, 1, space)
  }
  assert.equal((await server.sql('SELECT count(*) AS n FROM clean.events', 'other'))[0].n, 1)
  const { key } = JSON.parse(await server.kith('key', 'create', 'other-reader', '--space', 'other', '--json'))
  assert.equal((await server.get('/api/spaces/other/profiles/user_id:ada', { key })).status, 200)
  assert.equal((await server.get('/api/spaces/main/profiles/user_id:ada', { key })).status, 403)
})

test('definitions_are_planned_applied_and_exported', { timeout: 60_000 }, async () => {
  const file = join(server.home, 'round.yaml')
  const write = city => writeFile(file, `kind: segment\nname: from_town\nspec: { where: { trait: city, equals: ${city} } }\n`)
  await write('Bonn')
  const planned = JSON.parse(await server.kith('plan', '-f', file, '--json'))
  assert.deepEqual(planned.changes.map(change => [change.name, change.action]), [['from_town', 'create']])
  assert.ok(!(await server.kith('export')).includes('from_town'), 'a plan changes nothing')
  await server.kith('apply', '-f', file, '--wait')
  const exported = join(server.home, 'exported.yaml')
  await server.kith('export', '-f', exported)
  const again = JSON.parse(await server.kith('plan', '-f', exported, '--json'))
  assert.deepEqual(again.changes.filter(change => change.action !== 'unchanged'), [], 'what was exported is what holds')
  await write('Ulm')
  const changed = JSON.parse(await server.kith('plan', '-f', file, '--json')).changes
  assert.equal(changed[0].action, 'update')
  assert.ok(changed[0].diff.some(line => line.startsWith('-') && line.includes('Bonn')), changed[0].diff.join('\n'))

  await writeFile(file, 'kind: segment\nname: wrong\nspec: { where: { performed: { event: A, at_lest: 2, within: { lst: 3s } } } }\n')
  for (const command of [['apply'], ['plan'], ['segment', 'estimate']]) {
    const refused = await server.attempt([...command, '-f', file])
    assert.notEqual(refused.code, 0)
    const told = refused.stderr.split('\n').filter(line => line.startsWith('  - '))
    assert.deepEqual(told.map(line => line.slice(line.indexOf('segment/wrong'))), [
      'segment/wrong: spec.where.performed: unknown key `at_lest`: did you mean `at_least`?',
      'segment/wrong: spec.where.performed.within: unknown key `lst`: did you mean `last`?',
    ], 'all mistakes at once')
    assert.ok(told.every(line => line.includes('.yaml:1: ')), 'each with its place in the file')
  }
})

test('seg_1_apply_refuses_segments_that_refer_to_one_another_in_a_circle_and_names_it', { timeout: 60_000 }, async () => {
  const segment = (name, where) => ({ kind: 'segment', name, spec: { where } })
  const circle = [
    segment('ring_a', { all: [{ performed: 'Visited' }, { segment: 'ring_b' }] }),
    segment('ring_b', { not: { segment: 'ring_c' } }),
    segment('ring_c', { any: [{ segment: 'ring_a' }, { performed: 'Visited' }] }),
  ]
  const named = /segments refer to one another in a circle: ring_(\w) -> ring_(\w) -> ring_(\w) -> ring_\1/
  const file = join(server.home, 'circle.yaml')
  await writeFile(file, circle.map(document => JSON.stringify(document)).join('\n---\n'))
  for (const command of ['plan', 'apply']) {
    const refused = await server.attempt([command, '-f', file])
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, named)
  }
  const apply = documents => server.get('/api/spaces/main/definitions/apply', { method: 'POST', body: { documents } })
  const refused = await apply(circle)
  assert.equal(refused.status, 422)
  assert.match(JSON.stringify(refused.body), named)
  // Nor is a circle closed by a segment that comes to others in force, or by an edit of one of them.
  assert.equal((await apply([segment('ring_c', { performed: 'Visited' }), segment('ring_b', { segment: 'ring_c' })])).status, 200)
  const closed = await apply([segment('ring_c', { not: { segment: 'ring_b' } })])
  assert.equal(closed.status, 422)
  assert.match(JSON.stringify(closed.body), /ring_b -> ring_c -> ring_b|ring_c -> ring_b -> ring_c/)
  const itself = await apply([segment('ring_a', { segment: 'ring_a' })])
  assert.match(JSON.stringify(itself.body), /in a circle: ring_a -> ring_a/)
  const names = (await server.get('/api/spaces/main/segments')).body.segments.map(one => one.name)
  assert.deepEqual(names.filter(name => name.startsWith('ring_')).sort(), ['ring_b', 'ring_c'], 'nothing of it was applied')
})

test('seg_4_a_definition_applied_after_data_covers_all_history', { timeout: 60_000 }, async () => {
  for (let turn = 1; turn <= 3; turn++) await server.send(writeKey, 'track', { userId: 'early', event: 'Visited', properties: { turn } })
  await server.send(writeKey, 'track', { userId: 'rare', event: 'Visited' })
  await server.apply(`
kind: computed_trait
name: visits
spec: { function: count, event: Visited }
---
kind: segment
name: regulars
spec: { where: { performed: { event: Visited, at_least: 3 } } }
`)
  const early = await server.personWhen('user_id:early', person => isIn(person, 'regulars'))
  assert.equal(Number(early.computed_traits.visits), 3)
  assert.ok(!isIn(await server.person('user_id:rare'), 'regulars'))
  const members = JSON.parse(`[${(await server.kith('segment', 'members', 'regulars', '--json')).trim().split('\n').join(',')}]`)
  assert.deepEqual(members.map(member => member.id), [early.id])
  await server.kith('flush')
  const causes = await server.sql(`SELECT DISTINCT cause FROM curated.membership_changes WHERE segment = 'regulars'`)
  assert.deepEqual(causes, [{ cause: 'definition' }])
  // And it is live from then on.
  for (let turn = 0; turn < 2; turn++) await server.send(writeKey, 'track', { userId: 'rare', event: 'Visited' })
  await server.personWhen('user_id:rare', person => isIn(person, 'regulars'))
})

test('raw_2_what_was_derived_is_what_raw_gives_again', { timeout: 120_000 }, async () => {
  await server.kith('flush')
  await server.kith('raw', 'verify')
  await server.kith('rebuild', '--verify')
  await server.kith('doctor')
})
