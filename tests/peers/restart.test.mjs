// What a restart must not do twice: later copies that a table has not passed, and a state that was lost and is built
// again from the log. Runs alone: `node --test tests/peers/restart.test.mjs`.
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startServer } from './support/server.mjs'

const order = { messageId: 'order-1', userId: 'ada', event: 'Order Completed', properties: { total: 19.9 } }
const rows = server => server.sql('SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM clean.events')

test('cln_2_a_copy_that_came_after_a_flush_is_dropped_over_a_restart', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  await server.send(writeKey, 'track', order)
  await server.kith('flush')
  // The table ends before the copy, and no row comes that would move its end.
  await server.send(writeKey, 'track', order)
  await server.kith('flush')
  for (const _ of [1, 2]) {
    await server.stop()
    await server.start()
    await server.kith('flush')
    assert.deepEqual(await rows(server), [{ n: 1, ids: 1 }])
  }
})

test('raw_2_a_lost_state_is_built_again_and_nothing_is_told_twice', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  await server.apply(`
kind: segment
name: buyers
spec: { where: { performed: { event: Order Completed, within: { last: 1h } } } }
`)
  for (const userId of ['ada', 'bea', 'cay']) {
    await server.send(writeKey, 'track', { ...order, messageId: `order-${userId}`, userId })
  }
  await server.kith('flush')
  const told = () => server.sql('SELECT profile_id, change FROM curated.membership_changes ORDER BY sequence')
  const [before, people] = [await told(), await server.sql('SELECT profile_id FROM curated.profiles ORDER BY 1')]
  assert.equal(before.length, 3)

  await server.stop()
  await rm(join(server.data, 'state'), { recursive: true })
  await server.start()
  await server.send(writeKey, 'track', { ...order, messageId: 'order-ada', userId: 'ada' })
  await server.send(writeKey, 'track', { ...order, messageId: 'order-dan', userId: 'dan' })
  await server.kith('flush')
  const after = await told()
  assert.deepEqual(after.slice(0, 3), before, 'what was told stands')
  assert.equal(after.length, 4, 'and only what is new is told')
  assert.deepEqual(await rows(server), [{ n: 4, ids: 4 }])
  const now = await server.sql('SELECT profile_id FROM curated.profiles ORDER BY 1')
  assert.equal(now.length, 4)
  for (const { profile_id: id } of people) assert.ok(now.some(person => person.profile_id === id), 'ids are the same')
  await server.kith('rebuild', '--verify')
})
