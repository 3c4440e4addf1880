// A real shop's history, CDNOW, through `kith import`, twice. The numbers are those that Python computes from the file.
// Runs alone: `node --test tests/peers/import.test.mjs`.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
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
