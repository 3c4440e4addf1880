// A real shop's history, CDNOW, through `kith import`, twice. The numbers are those that Python computes from the file.
// Runs alone: `node --test tests/peers/import.test.mjs`.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { root, runPython } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const DEFINITIONS = `
kind: computed_trait
name: orders
spec: { function: count, event: Order Completed }
---
kind: computed_trait
name: spent
spec: { function: sum, event: Order Completed, property: total }
---
kind: computed_trait
name: discs
spec: { function: sum, event: Order Completed, property: quantity }
---
kind: segment
name: regulars
spec: { where: { performed: { event: Order Completed, at_least: 10 } } }
---
kind: segment
name: of_late
spec: { where: { performed: { event: Order Completed, within: { last: 30d } } } }
`

/** The mapping that the documentation's worked example names. */
async function documentedMapping() {
  const text = await readFile(join(root, 'docs/import.md'), 'utf8')
  const [, named] = text.match(/kith import \S*CDNOW_master\.txt --source cdnow --map (\S+)/) ?? []
  assert.ok(named, 'docs/import.md shows how CDNOW is imported')
  return join(root, named)
}

test('con_2_a_real_history_is_imported_and_imported_again_adds_nothing', { timeout: 300_000 }, async t => {
  const truth = await runPython('import/cdnow_totals.py', [])
  assert.equal(truth.rows, 69_659)
  assert.equal(Object.keys(truth.customers).length, 23_570)

  const server = await startServer(t)
  await server.source('cdnow')
  await server.apply(DEFINITIONS)
  const map = await documentedMapping()
  const load = async () => {
    const begun = Date.now()
    await server.kith('import', truth.path, '--source', 'cdnow', '--map', map, { timeout: 200_000 })
    await server.kith('flush', { timeout: 200_000 })
    t.diagnostic(`imported and flushed in ${Date.now() - begun} ms`)
  }
  for (const turn of ['first', 'second']) {
    await load()
    const [events] = await server.sql(`
      SELECT count(*) AS n, count(DISTINCT event_key) AS keys, min(event_time) AS first, max(event_time) AS last
      FROM clean.events WHERE source = 'cdnow' AND origin = 'import'`)
    assert.equal(events.n, truth.rows, `${turn} import`)
    assert.equal(events.keys, truth.rows, `${turn} import`)
    assert.match(events.first, /^1997-01-01/, 'an import keeps its own timestamps')
    assert.match(events.last, /^1998-06-30/)
  }
  assert.equal((await server.sql('SELECT count(*) AS n FROM clean.rejects'))[0].n, 0)

  const people = await server.sql('SELECT p.computed, i.value FROM curated.profiles p JOIN curated.identifiers i ON p.profile_id = i.profile_id')
  assert.equal(people.length, 23_570)
  for (const { computed, value } of people) {
    const found = JSON.parse(computed)
    const [orders, discs, cents] = truth.customers[value]
    assert.deepEqual([Number(found.orders), Number(found.discs), Math.round(Number(found.spent) * 100)], [orders, discs, cents], value)
  }
  const regulars = Object.values(truth.customers).filter(([orders]) => orders >= 10).length
  const sizes = (await server.get('/api/spaces/main/segments')).body.segments
  assert.equal(sizes.find(segment => segment.name === 'regulars').size, regulars)
  assert.equal(sizes.find(segment => segment.name === 'of_late').size, 0, 'what happened in 1997 is not of late')
  const causes = await server.sql('SELECT DISTINCT cause, change FROM curated.membership_changes WHERE segment = \'regulars\'')
  assert.deepEqual(causes, [{ cause: 'import', change: 'entered' }])
  await server.stop()
})

const SUBSCRIBERS = `
type: identify
timestamp: { column: since }
identifiers: { email: { column: mail } }
message_id: { column: no }
traits: { email: { column: mail } }
consents:
  marketing: { column: newsletter }
  profiling: { column: tracking, granted: [J], denied: [N] }
`

const SUBSCRIBED = `
kind: segment
name: subscribers
spec: { where: { consent: marketing } }
---
kind: segment
name: unsubscribed
spec: { where: { consent: marketing, answer: denied } }
`

test('con_2_consents_of_a_file_are_the_consents_of_its_people', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  await server.source('crm')
  await server.apply(SUBSCRIBED)
  const [rows, map] = [join(server.home, 'people.csv'), join(server.home, 'people.yaml')]
  await writeFile(map, SUBSCRIBERS)
  await writeFile(rows, `no,since,mail,newsletter,tracking
1,2024-05-01,ann@example.com,yes,J
2,2024-05-02,bo@example.com,0,N
3,2024-05-03,cy@example.com,,J
4,2024-05-04,di@example.com,perhaps,J
1,2024-05-01,ann@example.com,yes,J
5,2031-05-01,ed@example.com,TRUE,N
`)
  const load = async (...flags) => {
    const { code, stdout, stderr } = await server.attempt(['import', rows, '--source', 'crm', '--map', map, ...flags])
    assert.notEqual(code, 0, 'a word that is neither yes nor no fails the command')
    return stdout + stderr
  }
  for (const flags of [['--dry-run'], []]) {
    const said = await load(...flags)
    assert.match(said, /people\.csv, line 5, column newsletter: "perhaps" says neither yes nor no to marketing/)
    assert.match(said, /people\.csv, line 6: message id "1" came before, at \S*people\.csv, line 2: it counts once/)
    assert.match(said, /1 has a message id that came before in these files/)
    assert.match(said, /events from 2024-05-01T00:00:00\.000Z to 2031-05-01T00:00:00\.000Z; 1 of them lies ahead of now/)
  }
  const report = JSON.parse((await server.attempt(['import', rows, '--source', 'crm', '--map', map, '--dry-run', '--json'])).stdout)
  assert.deepEqual([report.rows, report.accepted, report.failed, report.copies, report.times.ahead], [6, 5, 1, 1, 1])
  assert.deepEqual([report.copies_told[0].message_id, report.copies_told[0].line, report.copies_told[0].first.line], ['1', 6, 2])
  await server.kith('flush')
  const consents = async mail => Object.fromEntries(JSON.parse(await server.kith('profile', 'get', `email:${mail}`, '--json'))
    .consents.map(({ topic, status }) => [topic, status]))
  assert.deepEqual(await consents('ann@example.com'), { marketing: 'subscribed', profiling: 'subscribed' })
  assert.deepEqual(await consents('bo@example.com'), { marketing: 'unsubscribed', profiling: 'unsubscribed' })
  assert.deepEqual(await consents('cy@example.com'), { profiling: 'subscribed' })
  assert.match(await server.kith('profile', 'get', 'email:ann@example.com'), /marketing: granted {2}since 2024-05-01/)
  const sizes = (await server.get('/api/spaces/main/segments')).body.segments
  assert.equal(sizes.find(segment => segment.name === 'unsubscribed').size, 1)
  assert.ok(sizes.find(segment => segment.name === 'subscribers').size >= 1)
  const [events] = await server.sql("SELECT count(*) AS n FROM clean.events WHERE source = 'crm'")
  assert.equal(events.n, 4, 'a copy counts once')
  await server.stop()
})

test('con_2_a_file_whose_separator_is_another_one_is_told_so', { timeout: 60_000 }, async t => {
  const server = await startServer(t)
  await server.source('crm')
  const [rows, map] = [join(server.home, 'people.csv'), join(server.home, 'people.yaml')]
  await writeFile(rows, 'no;since;mail\n1;2024-05-01;ann@example.com\n')
  await writeFile(map, 'type: identify\ntimestamp: { column: since }\nidentifiers: { email: { column: mail } }\n')
  const apart = await server.attempt(['import', rows, '--source', 'crm', '--map', map])
  assert.notEqual(apart.code, 0)
  assert.match(apart.stderr, /is the separator `;`\? Then the mapping says `separator: ";"`/)
  await writeFile(map, 'consent: { marketing: { column: mk } }\n')
  const unknown = await server.attempt(['import', rows, '--source', 'crm', '--map', map])
  assert.match(unknown.stderr, /"consent" is no part of a mapping: did you mean consents\?/)
  await server.stop()
})
