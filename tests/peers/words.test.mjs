// What operators are told when something is not as they think: a segment, a table or a statement that is not there, an import that
// is only tried, two who change limits at once. By the command line and by the API. Runs alone: `node --test tests/peers/words.test.mjs`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { until } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

const DEFINITIONS = `
kind: segment
name: buyers
spec: { where: { performed: Order Completed } }
---
kind: segment
name: visitors
spec: { where: { performed: Product Viewed } }
`
let server
const afterwards = []
before(async () => {
  server = await startServer({ after: task => afterwards.push(task) })
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

/** A command that must fail; gives what it said. */
async function refused(...args) {
  const { code, stdout, stderr } = await server.attempt(args)
  assert.notEqual(code, 0, `kith ${args.join(' ')} went well: ${stdout}`)
  assert.equal(stdout, '', 'results go to standard output, and there is none')
  return stderr
}

const sql = async statement => (await server.get('/api/sql', { method: 'POST', body: { sql: statement } })).body

test('api_1_a_server_of_which_nobody_has_said_anything_has_its_tables', { timeout: 60_000 }, async () => {
  for (const table of ['clean.events', 'clean.rejects', 'curated.profiles', 'curated.orders', 'curated.events']) {
    assert.deepEqual(await server.sql(`SELECT count(*) AS n FROM ${table}`), [{ n: 0 }], table)
  }
  assert.match(await refused('sql', 'SELECT 1', '--space', 'nowhere'), /there is no space nowhere: `kith space list` lists them/)
})

test('seg_1_a_segment_that_is_not_there_is_named_with_the_one_that_was_meant', { timeout: 60_000 }, async () => {
  await server.apply(DEFINITIONS)
  const near = 'space main has no segment buyer: did you mean buyers? `kith segment list` lists them'
  const far = 'space main has no segment nobody_knows: `kith segment list` lists them'
  for (const [name, said] of [['buyer', near], ['nobody_knows', far]]) {
    const found = [
      await refused('segment', 'members', name),
      await refused('segment', 'explain', name, 'user_id:u1'),
      await refused('segment', 'overlap', 'visitors', name),
    ]
    for (const text of found) assert.ok(text.includes(said), text)
    for (const path of [`${name}/members`, `${name}/explain/user_id:u1`, `overlap?segments=visitors,${name}`]) {
      const { status, body } = await server.get(`/api/spaces/main/segments/${path}`)
      assert.deepEqual([status, body.error.code, body.error.message], [404, 'not_found', said], path)
    }
  }
  const { status, body } = await server.get('/api/spaces/nowhere/segments/buyers/members')
  assert.deepEqual([status, body.error.message], [404, 'there is no space nowhere: `kith space list` lists them'])
  const misspelt = await refused('segment', 'members', 'no such')
  assert.match(misspelt, /segment name "no such" must start with a letter/)
})

test('act_1_a_message_to_a_segment_that_is_not_there_is_refused_by_its_field', { timeout: 60_000 }, async () => {
  const file = join(server.home, 'message.yaml')
  await writeFile(file, `
kind: message
name: thanks
spec: { on: entered, segment: buyer, channel: email, topic: marketing, from: shop@example.com, subject: Thanks, text: "{{ unsubscribe_url }}" }
`)
  for (const command of ['plan', 'apply']) {
    const text = await refused(command, '-f', file)
    assert.match(text, /message\/thanks: spec\.segment: there is no segment buyer: did you mean buyers\?/)
  }
})

test('lak_1_wrong_sql_is_told_with_its_place_and_what_was_meant', { timeout: 60_000 }, async () => {
  const cases = [
    ['SELECT * FROM evnts', 'there is no table main.clean.evnts: did you mean clean.events? SHOW TABLES lists what there is'],
    ['SELECT * FROM clena.events', 'there is no table main.clena.events: did you mean clean.events? SHOW TABLES lists what there is'],
    ['SELECT * FROM profiles', 'there is no table main.clean.profiles: did you mean curated.profiles? SHOW TABLES lists what there is'],
    ['SELECT * FROM other.clean.events', 'there is no space other: `kith space list` lists them'],
    ['SELECT * FROM warehouse', 'there is no table main.clean.warehouse: SHOW TABLES lists what there is'],
    ['SELECT evnt FROM clean.events', /^(error: )?there is no column evnt: did you mean event\? The columns here are anonymous_id, .*, user_id/],
    ['SELECT e.yonder FROM clean.events e', /^(error: )?there is no column e\.yonder: The columns here are anonymous_id, /],
    ['SELECT counts(*) FROM clean.events', /Invalid function 'counts'\.\s+Did you mean 'count'\?/],
    ['SELCT 1', 'the statement cannot be read: Expected: an SQL statement, found: SELCT at Line: 1, Column: 1'],
    ['SELECT event,\n  count(* FROM clean.events', 'the statement cannot be read: Expected: ), found: FROM at Line: 2, Column: 11'],
    ['SELECT * FROM clean.events WHERE', 'the statement cannot be read: Expected: an expression, found: the end of the statement'],
    ['SELECT 1; SELECT 2', 'one statement at a time: leave out what follows the first `;`'],
    [' ; ', 'the statement is empty: give one, such as SHOW TABLES'],
  ]
  for (const [statement, said] of cases) {
    const { error } = await sql(statement)
    if (said instanceof RegExp) assert.match(error.message, said, statement)
    else assert.equal(error.message, said, statement)
    const text = await refused('sql', statement)
    assert.ok(text.startsWith('error: ') && (said instanceof RegExp ? said.test(text) : text.includes(said)), text)
  }
})

test('lak_1_a_statement_that_writes_is_refused_and_changes_nothing', { timeout: 60_000 }, async () => {
  const only = 'is refused: statements here only read (SELECT, SHOW, DESCRIBE, EXPLAIN)'
  const cases = {
    'INSERT INTO clean.events VALUES (1)': 'INSERT INTO', 'DROP TABLE clean.events': 'DROP TABLE', 'DELETE FROM clean.events': 'DELETE FROM',
    "UPDATE clean.events SET event = 'x'": 'UPDATE', 'CREATE TABLE t (a INT)': 'CREATE TABLE', "COPY clean.events TO '/tmp/x'": 'COPY',
    'EXPLAIN ANALYZE SELECT 1': 'EXPLAIN ANALYZE',
  }
  const before = await server.sql('SHOW TABLES')
  for (const [statement, what] of Object.entries(cases)) {
    const response = await server.get('/api/sql', { method: 'POST', body: { sql: statement } })
    assert.deepEqual([response.status, response.body.error.message], [400, `${what} ${only}`], statement)
    assert.ok((await refused('sql', statement)).includes(`${what} ${only}`))
  }
  assert.deepEqual(await server.sql('SHOW TABLES'), before)
})

test('con_2_an_import_that_is_only_tried_shows_events_and_sends_none', { timeout: 60_000 }, async () => {
  await server.source('shop')
  const [rows, map] = [join(server.home, 'orders.csv'), join(server.home, 'orders.yaml')]
  await writeFile(rows, 'day;customer;amount;no\n20260301;c1;19.90;o1\n20260302;c2;5;o2\nno day;c3;1;o3\n20260304;c4;7.5;o4\n20260305;c5;8;o5\n')
  await writeFile(map, `
event: Order Completed
timestamp: { column: day, format: "%Y%m%d" }
identifiers: { user_id: { column: customer } }
message_id: { column: no }
properties: { total: { column: amount, as: number } }
separator: ";"
`)
  const tried = await server.attempt(['import', rows, '--source', 'shop', '--map', map, '--dry-run'])
  const said = tried.stdout + tried.stderr
  for (const shown of ['"Order Completed"', '19.90', '"c1"', '2026-03-01T00:00:00', 'o1']) assert.ok(said.includes(shown), said)
  assert.match(said, /orders\.csv.*4/s, 'the line that cannot be read is named')
  assert.notEqual(tried.code, 0, 'a row that cannot be read fails the command')
  assert.ok(!said.includes('"c5"'), 'three events are shown')
  await server.kith('flush')
  const [none] = await server.sql("SELECT count(*) AS n FROM clean.events WHERE source = 'shop'")
  assert.equal(none.n, 0, 'nothing was sent')
  const wrong = join(server.home, 'wrong.yaml')
  await writeFile(wrong, 'event: Order Completed\ntimestamp: { column: date }\nidentifiers: { user_id: { column: customer } }\nseparator: ";"\n')
  const column = await server.attempt(['import', rows, '--source', 'shop', '--map', wrong, '--dry-run'])
  assert.notEqual(column.code, 0)
  assert.match(column.stderr, /date/)
  assert.match(column.stderr, /day/, 'the columns that there are are named')
})

test('spc_1_limits_that_several_set_at_once_all_hold', { timeout: 60_000 }, async () => {
  await server.kith('space', 'create', 'busy')
  const limits = { 'events-per-second': 500, 'batch-events': 100, 'batch-bytes': 90_000, sources: 7, definitions: 60, segments: 50, 'computed-traits': 40 }
  for (let turn = 0; turn < 3; turn++) {
    const set = Object.entries(limits).map(([name, limit]) => server.kith('space', 'limits', 'busy', `--${name}`, String(limit + turn)))
    await Promise.all(set)
    const { body } = await server.get('/api/spaces/busy/limits')
    const wanted = Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name.replaceAll('-', '_'), limit + turn]))
    assert.deepEqual(body.limits, wanted)
  }
  await server.kith('space', 'limits', 'busy', '--sources', 'none')
  assert.equal((await server.get('/api/spaces/busy/limits')).body.limits.sources, undefined)
  const wrong = await refused('space', 'limits', 'busy', '--segments', '0')
  assert.match(wrong, /^error: a limit must be mended; nothing was changed\n.*spec\.segments: segments is a whole number from 1/)
  const shown = await server.kith('space', 'limits', 'busy')
  for (const [name, limit] of [['event_bytes', '32768 (usual)'], ['dedupe_days', '30 (usual)'], ['burst_events', '502 (usual)'], ['sources', 'none']]) {
    assert.match(shown, new RegExp(`^${name} +${limit.replace('(', '\\(').replace(')', '\\)')}( |$)`, 'm'))
  }
})

test('pro_5_what_a_limit_made_other_than_exact_is_marked_in_tables_lists_and_the_tail', { timeout: 120_000 }, async () => {
  await server.kith('space', 'create', 'marks')
  const key = await server.source('app', 'marks')
  const definitions = join(server.home, 'marks.yaml')
  await writeFile(definitions, `
kind: segment
name: no_plan
spec: { where: { all: [ { performed: Seen }, { trait: plan, exists: false } ] } }
`)
  await server.kith('apply', '-f', definitions, '--wait', '--space', 'marks')
  const many = Object.fromEntries(Array.from({ length: 600 }, (_, at) => [`trait_${at}`, at]))
  const events = [
    { type: 'identify', userId: 'full', traits: many },
    { type: 'group', userId: 'plain', groupId: 'acme', traits: many },
    { type: 'track', userId: 'full', event: 'Seen' },
    { type: 'track', userId: 'plain', event: 'Seen' },
  ]
  const headers = { authorization: basic(key), 'content-type': 'application/json' }
  const sent = await fetch(`${server.url}/v1/batch`, { method: 'POST', headers, body: JSON.stringify({ batch: events }) })
  assert.equal(sent.status, 200)
  await server.kith('flush')
  const marked = [{ user: 'full', approximate: true }, { user: 'plain', approximate: false }]
  for (const table of ['memberships', 'membership_changes']) {
    const rows = await server.sql(`
      SELECT i.value AS "user", t.approximate FROM curated.${table} t JOIN curated.identifiers i USING (profile_id)
      WHERE i.type = 'user_id' ORDER BY i.value`, 'marks')
    assert.deepEqual(rows, marked, table)
  }
  const reached = await server.sql(`
    SELECT i.value AS "user", p.limits_reached FROM curated.profiles p JOIN curated.identifiers i USING (profile_id)
    WHERE i.type = 'user_id' ORDER BY i.value`, 'marks')
  assert.deepEqual(reached.map(row => [row.user, JSON.parse(row.limits_reached)]), [['full', ['traits', 'segments.no_plan']], ['plain', []]])
  const [account] = await server.sql('SELECT limits_reached FROM curated.accounts', 'marks')
  assert.deepEqual(JSON.parse(account.limits_reached), ['traits'])
  const { body } = await server.get('/api/spaces/marks/segments/no_plan/members')
  const members = body.members.map(({ identifiers, approximate }) => [identifiers[0], approximate])
  assert.deepEqual(members.toSorted(), [['user_id:full', true], ['user_id:plain', false]])
  assert.match(await server.kith('segment', 'members', 'no_plan', '--space', 'marks'), /\(approximate\) +user_id:full/)
})

test('col_4_a_space_takes_larger_events_from_then_on_and_a_rebuild_judges_each_as_it_was_taken', { timeout: 180_000 }, async () => {
  await server.kith('space', 'create', 'wide')
  const key = await server.source('app', 'wide')
  const large = (messageId, letters) => ({ type: 'track', userId: 'u', event: 'Said', messageId, properties: { text: 'x'.repeat(letters) } })
  const send = async batch => {
    const headers = { authorization: basic(key), 'content-type': 'application/json' }
    const answer = await fetch(`${server.url}/v1/batch`, { method: 'POST', headers, body: JSON.stringify({ batch }) })
    return ((await answer.json()).rejected ?? []).map(({ index, code }) => [index, code])
  }
  assert.deepEqual(await send([large('m0', 40_000), large('m1', 10)]), [[0, 'event_too_large']])
  assert.match(await refused('space', 'limits', 'wide', '--event-bytes', '600000'), /give batch_bytes too/)
  await server.kith('space', 'limits', 'wide', '--event-bytes', '50000', '--dedupe-days', '90')
  assert.deepEqual(await send([large('m2', 40_000), large('m3', 60_000)]), [[1, 'event_too_large']])
  await server.kith('space', 'limits', 'wide', '--event-bytes', 'none')
  assert.deepEqual(await send([large('m4', 40_000)]), [[0, 'event_too_large']])
  await server.kith('flush')
  const counted = await server.sql('SELECT message_id FROM clean.events ORDER BY message_id', 'wide')
  assert.deepEqual(counted.map(row => row.message_id), ['m1', 'm2'])
  await server.kith('raw', 'verify')
  await server.kith('rebuild', '--verify')
})

test('api_1_a_weak_key_of_the_administrator_is_told_with_the_rule', { timeout: 60_000 }, async () => {
  const weak = await server.attempt(['serve', '--data', join(server.home, 'weak'), '--http', '127.0.0.1:0'], { env: { KITH_ADMIN_KEY: 'secret' } })
  assert.notEqual(weak.code, 0)
  assert.match(weak.stderr, /^error: KITH_ADMIN_KEY is too weak: it needs 16 to 256 characters/m)
})

test('cln_4_rejects_of_a_source_or_a_reason_that_is_not_there_are_an_error', { timeout: 60_000 }, async () => {
  await server.kith('space', 'create', 'again')
  assert.match(await refused('replay', '--rejects', '--space', 'again', '--source', 'nope'), /there is no source nope in space again\n +it has no source yet/)
  await server.source('app', 'again')
  assert.match(await refused('replay', '--rejects', '--space', 'again', '--source', 'nope'), /its sources are app/)
  const reason = await refused('replay', '--rejects', '--space', 'again', '--reason', 'event_to_large')
  assert.match(reason, /nothing is rejected as event_to_large: did you mean event_too_large\?\n +the reasons are body_too_large, /)
  assert.match(await server.kith('replay', '--rejects', '--space', 'again', '--source', 'app', '--reason', 'event_too_large'), /^0 of 0 rejects/)
})

test('raw_1_what_is_not_sealed_yet_is_told_beside_what_raw_holds', { timeout: 60_000 }, async () => {
  const key = await server.source('traffic')
  await until('a record that is not sealed to be told', async () => {
    await server.send(key, 'track', { userId: 'u', event: 'Seen' })
    const said = await server.kith('raw', 'verify')
    assert.match(said, /the raw zone is sound/)
    return /\d+ records? of the log (is|are) not sealed yet, and so not in raw: `kith flush` puts them there/.test(said)
  })
})

test('act_6_whom_a_run_is_not_for_and_what_holds_it_up_are_told', { timeout: 120_000 }, async () => {
  await server.kith('space', 'create', 'late')
  const at = ['--space', 'late']
  const key = await server.source('app', 'late')
  const context = { consent: { categoryPreferences: { marketing: true } } }
  const note = 'x'.repeat(20_000)
  await server.send(key, 'identify', { userId: 'u1', traits: { email: 'u1@example.com' }, context })
  await server.send(key, 'track', { userId: 'u1', event: 'Noted', properties: { note } })
  await server.kith('flush')
  await server.apply(`
kind: segment
name: known
spec: { where: { trait: email, exists: true } }
---
kind: message
name: hello
spec: { on: entered, segment: known, channel: email, topic: marketing, from: shop@example.com, subject: Hello, text: "{{ unsubscribe_url }}" }
`, ...at)
  const none = await server.kith('messages', 'send', 'hello', '--cause', 'import', '--yes', ...at)
  assert.match(none, /^0 people would get hello .*other_cause +1\n.*Leave --cause out for every cause that is not live\n.*there is nobody to send it to\n$/s)
  const runs = async () => (await server.get('/api/spaces/late/messages/runs')).body.runs.map(run => run.state)
  assert.deepEqual(await runs(), ['counted'], 'nothing was started')
  await server.kith('messages', 'pause', '--message', 'hello', ...at)
  const held = await server.kith('messages', 'send', 'hello', '--yes', ...at)
  assert.match(held, /sends it: .*\nsending is paused: it begins once `kith messages resume --message hello --space late` was said\n$/s)
  await server.kith('messages', 'resume', '--message', 'hello', ...at)
  const list = () => server.kith('messages', 'list', '--profile', 'user_id:u1', ...at)
  await until('the send to be listed by an identifier', async () => /hello +prf_/.test(await list()))
  assert.match(await refused('messages', 'list', '--profile', 'user_id:u2', ...at), /nobody has user_id:u2/)

  const then = await refused('profile', 'get', 'user_id:u1', '--as-of', '2020-01-01T00:00:00Z', ...at)
  assert.match(then, /^error: nobody has user_id:u1 as of 2020-01-01T00:00:00\.000Z\n +what is known of it begins at 2.*--as-of 2.*--known-at 2.* finds it/)
  const [, asOf, knownAt] = then.match(/--as-of (\S+) --known-at (\S+) finds it/)
  const found = await server.kith('profile', 'get', 'user_id:u1', '--as-of', asOf, '--known-at', knownAt, ...at)
  assert.match(found, /user_id:u1/, 'whoever follows the hint finds them')
  const never = await refused('profile', 'get', 'user_id:u9', '--as-of', '2020-01-01T00:00:00Z', ...at)
  assert.match(never, /^error: nobody has user_id:u9 as of .*\n +nobody has it now either/)
  const page = await server.kith('profile', 'get', 'user_id:u1', ...at)
  assert.match(page, /Noted {2}app {2}\{"note":"x+…\n/)
  assert.ok(page.split('\n').every(line => line.length < 600), 'long values are cut')
  assert.ok((await server.kith('profile', 'get', 'user_id:u1', '--json', ...at)).includes(note), 'JSON has all of them')
})
