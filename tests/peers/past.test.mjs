// The past by the definitions and rules of then: by the command line, the API and SQL, after edits, other rules of identity and a
// restart. Runs alone: `node --test tests/peers/past.test.mjs`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instantBetween } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const buyers = orders => `
kind: segment
name: buyers
spec: { where: { performed: { event: Order Completed, at_least: ${orders} } } }
`
/** An address that a shop types for whoever has none links nobody. */
const BLOCKED = `
kind: identity_rules
name: default
spec: { types: { email: { blocked: [nobody@shop.example] } } }
`

test('idn_8_seg_6_the_past_is_told_by_the_definitions_and_rules_of_then', { timeout: 180_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  const order = (userId, messageId) => server.send(writeKey, 'track', {
    userId, messageId, event: 'Order Completed', context: { traits: { email: 'nobody@shop.example' } } })
  const empty = await instantBetween()
  await order('ann', 'a-1')
  await server.personWhen('user_id:ann', person => person.identifiers.length === 2)
  const undefinedYet = await instantBetween()
  await server.apply(buyers(1))
  await server.personWhen('user_id:ann', person => person.segments.length === 1)
  const alone = await instantBetween()
  await order('ben', 'b-1')
  // The same address: their limit keeps the two users apart, and it stays Ann's.
  await server.personWhen('user_id:ben', person => person.segments.length === 1)
  const bought = await instantBetween()
  await server.apply(buyers(2))
  await server.personWhen('user_id:ann', person => person.segments.length === 0)
  const edited = await instantBetween()
  await server.apply(BLOCKED)
  await server.personWhen('user_id:ann', person => person.identifiers.length === 1)
  const blocked = await instantBetween()
  await server.kith('flush')

  const explain = async (as_of, ...flags) => {
    const asked = ['segment', 'explain', 'buyers', 'user_id:ann', '--as-of', as_of, ...flags]
    const { member, edited_since } = JSON.parse(await server.kith(...asked, '--json'))
    return { member, edited_since }
  }
  const holder = async at => {
    const found = await server.attempt(['identity', 'resolve', 'email:nobody@shop.example', '--as-of', at, '--json'])
    if (found.code === 0) return JSON.parse(found.stdout)
    assert.match(found.stderr, /nobody has email:nobody@shop\.example as of/)
    return null
  }
  const people = async at => {
    const rows = await server.sql(`
      SELECT e.message_id, count(i.value) AS identifiers FROM curated.events_as_of('${at}') e
      LEFT JOIN curated.identifiers_as_of('${at}') i ON i.profile_id = e.profile_id GROUP BY 1 ORDER BY 1`)
    return rows.map(row => [row.message_id, row.identifiers])
  }
  const told = async () => {
    const none = await server.attempt(['segment', 'explain', 'buyers', 'user_id:ann', '--as-of', undefinedYet])
    assert.notEqual(none.code, 0)
    assert.match(none.stderr, /had no segment buyers at/)
    assert.deepEqual(await explain(undefinedYet, '--known-at', blocked), { member: false, edited_since: false })
    assert.deepEqual(await explain(bought), { member: true, edited_since: true })
    assert.match(await server.kith('segment', 'explain', 'buyers', 'user_id:ann', '--as-of', bought), /edited or removed since/)
    assert.deepEqual(await explain(edited), { member: false, edited_since: false })
    const then = await holder(alone)
    assert.deepEqual(then.identifiers, ['user_id:ann', 'email:nobody@shop.example'])
    assert.equal(then.profile_today, null, 'an address that links nobody is nobody')
    assert.equal((await holder(bought)).profile, then.profile)
    assert.equal(await holder(blocked), null)
    assert.deepEqual(await people(empty), [])
    assert.deepEqual(await people(alone), [['a-1', 2]])
    assert.deepEqual(await people(bought), [['a-1', 2], ['b-1', 1]])
    assert.deepEqual(await people(blocked), [['a-1', 1], ['b-1', 1]])
    const wrong = await server.attempt(['sql', 'SELECT * FROM identifiers_as_of(soon)'])
    assert.match(wrong.stderr, /takes (one moment|a moment that can be worked out before any row is read), such as/)
    const ahead = await server.attempt(['sql', `SELECT * FROM identifiers_as_of('2999-01-01')`])
    assert.match(ahead.stderr, /nothing can be told as of/)
  }
  await told()
  await server.stop()
  await server.start()
  await told()
})
