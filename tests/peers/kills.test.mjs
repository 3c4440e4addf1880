// kill -9 of the real process while it works on many people: a new segment, also while its history is folded from the tables, an
// unmerge, changed rules, an account. What the next process makes of it is compared with a replay. KITH_KILLS says how often each is killed (2 unless given, and more where
// none fell in the middle), KITH_SEED at which moments. Runs alone: `node --test tests/peers/kills.test.mjs`.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { random } from './support/load.mjs'
import { folder, pause, until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const KILLS = Number(process.env.KITH_KILLS ?? 2)
const SEED = Number(process.env.KITH_SEED ?? Date.now() % 1_000_000)
/** So many kills more, as long as none fell in the middle of the work. */
const MORE = 6
const TIMEOUT = 120_000 + (KILLS + MORE) * 60_000
/** People who share devices, cards and addresses. */
const PEOPLE = 240
const EVENTS = 3_000
/** People by themselves: so many that work on all of them takes the server several turns, of TURN each. */
const CROWD = 10_000
const TURN = 2_000
/** Events of one person, so many that looking at all of them again takes longer than a kill. */
const BUSY = 20_000

const DEFINITIONS = `
kind: computed_trait
name: orders
spec: { function: count, event: Order Completed }
---
kind: segment
name: loyal
spec: { where: { computed_trait: orders, greater_or_equal: 8 } }
`

/** Rules that have every event say something else than the ones before, or link otherwise, in turn. */
const RULES = [
  '{ types: { loyalty_id: { normalise: lowercase, replace: [{ pattern: "-", with: "" }] } } }',
  '{ types: { email: { limit: 1, claim: first_owner }, loyalty_id: { priority: 5, authenticates: true } } }',
  '{ types: { email: { blocked: [m1@example.com], blocked_patterns: ["^m2"] }, anonymous_id: { claim: link, limit: 2 } } }',
  '{ types: { user_id: { limit: 2 }, loyalty_id: { normalise: lowercase }, device_id: { claim: ambiguous } } }',
  '{ types: {} }',
]

function someone(number) {
  const person = Math.floor(number() * PEOPLE)
  const said = { event: number() < 0.5 ? 'Order Completed' : 'Product Viewed', type: 'track', properties: { total: person } }
  if (number() < 0.6) said.userId = `u${person}`
  if (number() < 0.6 || !said.userId) said.anonymousId = `d${person % 150}`
  const context = {}
  if (number() < 0.3) context.traits = { email: `m${person % 130}@example.com` }
  if (number() < 0.3) context.externalIds = [{ type: 'loyalty_id', id: `${number() < 0.5 ? 'Card-' : 'card'}${person % 90}`, collection: 'users', encoding: 'none' }]
  return { ...said, context }
}

/** The numbers of the kills. `midway` tells how many have fallen in the middle of the work: one must. */
function* kills(midway) {
  for (let kill = 0; kill < KILLS || (kill < KILLS + MORE && midway() === 0); kill++) yield kill
  assert.ok(midway() > 0, 'no kill fell in the middle')
}

async function withHistory(t, { crowd = 0, args = [] } = {}) {
  t.diagnostic(`${KILLS} kills, KITH_SEED=${SEED}`)
  const server = await startServer(t, { args })
  const number = random(SEED)
  const writeKey = await server.source('shop')
  await server.apply(DEFINITIONS)
  let sent = 0
  const send = async count => {
    for (let left = count; left > 0; left -= 250) {
      const batch = Array.from({ length: Math.min(left, 250) }, () => ({ ...someone(number), messageId: `e${sent++}` }))
      await server.send(writeKey, 'batch', { batch })
    }
  }
  await send(EVENTS)
  const alone = at => ({
    type: 'track', messageId: `c${at}`, userId: `c${at % crowd}`, event: 'Product Viewed', properties: { total: at % 100 },
    context: { traits: { email: `c${at % crowd}@example.com` } },
  })
  for (let from = 0; from < crowd * 2; from += 1_000) {
    await server.send(writeKey, 'batch', { batch: Array.from({ length: 1_000 }, (_, at) => alone(from + at)) })
  }
  const card = { type: 'loyalty_id', id: 'Card-3', collection: 'users', encoding: 'none' }
  await server.send(writeKey, 'track', { userId: 'u3', event: 'Product Viewed', messageId: 'card', context: { externalIds: [card] } })
  await server.kith('flush')
  return { server, number, send }
}

/** Everything that came is taken, and equals a replay of the log. */
async function equalsAReplay(server) {
  await until('all history to be covered', async () => (await server.get('/api/status')).body.refolds.length === 0)
  await server.kith('flush')
  await server.kith('rebuild', '--verify', { timeout: 300_000 })
}

/** How often the server has said something. */
const times = async (server, text) => (await readFile(join(server.home, 'server.log'), 'utf8')).split(text).length - 1

/** Everybody was told of each entry and exit of the segment once: whoever entered and did not leave is in it. */
async function toldOnce(server, segment) {
  const told = await server.sql(`
    SELECT profile_id, sum(CASE change WHEN 'entered' THEN 1 ELSE -1 END) AS inside, max(CASE cause WHEN 'definition' THEN 1 ELSE 0 END) AS covered
    FROM curated.membership_changes WHERE segment = '${segment}' GROUP BY profile_id`)
  assert.ok(told.every(one => Number(one.inside) === 0 || Number(one.inside) === 1) && told.some(one => Number(one.covered) === 1))
  const { segments } = (await server.get('/api/spaces/main/segments')).body
  assert.equal(segments.find(one => one.name === segment).size, told.filter(one => Number(one.inside) === 1).length)
}

/** Each looks at other events, so that no fold of the one before serves it. */
const often = (name, least) => `
kind: segment
name: ${name}
spec: { where: { performed: { event: Product Viewed, where: { property: total, greater_or_equal: ${least} }, at_least: 2 } } }
`

const applied = async (server, name, yaml) => {
  const file = join(server.home, `${name}.yaml`)
  await writeFile(file, yaml)
  await server.kith('apply', '-f', file)
}

test('seg_4_a_kill_in_the_middle_of_a_backfill_changes_nothing', { timeout: TIMEOUT }, async t => {
  const { server, number, send } = await withHistory(t, { crowd: CROWD })
  let midway = 0
  for (const kill of kills(() => midway)) {
    const file = join(server.home, 'segment.yaml')
    await writeFile(file, often(`often_${kill}`, kill))
    let over = false
    const covered = server.attempt(['apply', '-f', file, '--wait']).finally(() => (over = true))
    const sent = send(100).catch(() => {})
    const share = number() * 0.7
    const left = await until('the sweep', async () => {
      const [sweep] = (await server.get('/api/status')).body.refolds
      if (sweep && sweep.records_done >= share * sweep.records_total) return sweep.records_total - sweep.records_done
      return over ? 0 : undefined
    }, { every: 2 })
    await server.kill()
    midway += left > TURN
    const [{ code, stdout, stderr }] = await Promise.all([covered, sent])
    if (code !== 0 && stdout.includes('decided by record')) {
      assert.match(stderr, /the decision of record \S+ stands; only waiting for it failed/)
    }
    await server.start()
    await equalsAReplay(server)
    await toldOnce(server, `often_${kill}`)
  }
  t.diagnostic(`${midway} kills in the middle of a sweep`)
  await server.stop()
})

test('seg_4_a_kill_while_history_is_folded_from_the_tables_changes_nothing', { timeout: TIMEOUT }, async t => {
  const [folding, folded] = ['history is folded from the tables for a new definition', 'history is folded space=']
  const config = join(await folder(t), 'kith.yaml')
  await writeFile(config, 'fold_tables_from_people: 1\n')
  const { server, number, send } = await withHistory(t, { crowd: CROWD / 2, args: ['--config', config] })
  let midway = 0
  for (const kill of kills(() => midway)) {
    const [begun, made] = [await times(server, folding), await times(server, folded)]
    // Folding waits until the tables have these. The first kill falls as soon as it begins, the others when it has come some way.
    await send(100)
    const share = kill === 0 ? 0 : number() * 0.4
    await applied(server, `folded_${kill}`, often(`folded_${kill}`, kill))
    await until('folding', async () => {
      if (await times(server, folding) === begun) return undefined
      const [sweep] = (await server.get('/api/status')).body.refolds
      return !sweep || sweep.records_done >= share * sweep.records_total || undefined
    }, { every: 2 })
    await server.kill()
    midway += await times(server, folded) === made
    await server.start()
    await equalsAReplay(server)
    await toldOnce(server, `folded_${kill}`)
  }
  assert.doesNotMatch(await server.log(1_000_000), /cannot be folded|rows are read instead/)
  t.diagnostic(`${midway} kills while history was folded`)
  await server.stop()
})

test('idn_6_a_kill_in_the_middle_of_an_unmerge_changes_nothing', { timeout: TIMEOUT }, async t => {
  const [begins, ends] = ['whoever they concern is looked at again', 'whoever a decision concerns is worked out anew']
  const { server, send } = await withHistory(t)
  // Somebody whose history takes a while to be looked at again, and what is not theirs.
  const writeKey = await server.source('app')
  const batch = from => Array.from({ length: 1_000 }, (_, at) => ({
    type: 'track', messageId: `l${from + at}`, userId: 'busy', event: 'Product Viewed', properties: { total: at },
    ...((from + at) % 1_000 === 0 ? { context: { traits: { email: 'mistaken@example.com' } } } : {}),
  }))
  for (let from = 0; from < BUSY; from += 1_000) await server.send(writeKey, 'batch', { batch: batch(from) })
  await server.send(writeKey, 'track', { messageId: 'other', event: 'Seen', context: { traits: { email: 'mistaken@example.com' } } })
  await server.kith('flush')
  const pair = ['user_id:busy', 'email:mistaken@example.com']
  const vetoes = async () => (await server.get('/api/spaces/main/identity/vetoes')).body.vetoes.length
  const together = async () => (await server.person(pair[0])).id === (await server.person(pair[1])).id
  assert.ok(await together())
  let midway = 0
  for (const kill of kills(() => midway)) {
    const undone = kill % 2 === 1
    const [begun, ended] = [await times(server, begins), await times(server, ends)]
    // The kill may break these off before anybody answers.
    const decided = server.attempt(['identity', 'unmerge', ...pair, ...(undone ? ['--remove'] : [])])
    const sent = send(100)
    await until('the unmerge to begin', async () => await times(server, begins) > begun || undefined, { every: 1 })
    await server.kill()
    midway += await times(server, ends) === ended
    await Promise.allSettled([decided, sent])
    await server.start()
    await equalsAReplay(server)
    // What has begun is in the log: it stands, whatever was answered.
    assert.equal(await vetoes(), undone ? 0 : 1)
    assert.equal(await together(), undone)
  }
  t.diagnostic(`${midway} kills in the middle of an unmerge`)
  await server.stop()
})

test('idn_2_a_kill_in_the_middle_of_changed_rules_changes_nothing_and_old_answers_stand_until_then', { timeout: TIMEOUT }, async t => {
  const { server, number, send } = await withHistory(t, { crowd: CROWD })
  const told = text => times(server, text)
  let [midway, longest] = [0, 500]
  const answer = async () => {
    const { status, body } = await server.get('/api/spaces/main/profiles/loyalty_id%3ACard-3')
    assert.equal(status, 200, 'whoever was there is there')
    return [body.id, body.identifiers.map(one => `${one.type}:${one.value}`).sort().join()].join(' ')
  }
  for (const kill of kills(() => midway)) {
    const [old, begun, done] = [await answer(), await told('the difference is worked out'), await told('have taken over')]
    await applied(server, 'rules', `
kind: identity_rules
name: default
spec: ${RULES[kill % RULES.length]}
`)
    await until('the change to begin', async () => (await told('the difference is worked out')) > begun, { every: 5 })
    await pause(Math.floor(number() * longest))
    await server.kill()
    const fell = (await told('have taken over')) === done
    if (fell) midway++
    else longest /= 2
    await server.start()
    const seen = new Set([await answer()])
    // A flush ends once the decision is taken, by this process or by the one before.
    let over = false
    const flushed = server.kith('flush').finally(() => (over = true))
    await until('the change to take over', async () => {
      seen.add(await answer())
      return over
    }, { every: 5, within: 60_000 })
    await flushed
    const now = await answer()
    for (const one of seen) assert.ok(one === old || one === now, `neither the old answer nor the new one: ${one}\n${old}\n${now}`)
    await send(100)
    await equalsAReplay(server)
  }
  t.diagnostic(`${midway} kills before the change had taken over`)
  await server.stop()
})

test('seg_3_a_kill_while_members_are_told_of_their_account_tells_each_once', { timeout: TIMEOUT }, async t => {
  t.diagnostic(`${KILLS} kills, KITH_SEED=${SEED}`)
  const server = await startServer(t)
  const number = random(SEED)
  const writeKey = await server.source('shop')
  await server.apply(`
kind: segment
name: professionals
spec: { where: { account: { trait: plan, equals: pro } } }
`)
  for (let from = 0; from < CROWD; from += 1_000) {
    const batch = Array.from({ length: 1_000 }, (_, at) => ({ type: 'group', userId: `u${from + at}`, groupId: 'acme', messageId: `m${from + at}`, traits: {} }))
    await server.send(writeKey, 'batch', { batch })
  }
  await server.kith('flush')
  let midway = 0
  const size = async () => (await server.get('/api/spaces/main/segments')).body.segments[0].size
  for (const kill of kills(() => midway)) {
    const plan = kill % 2 === 0 ? 'pro' : 'free'
    await server.send(writeKey, 'group', { userId: 'u7', groupId: 'acme', messageId: `plan-${kill}`, traits: { plan } })
    const share = number() * 0.7
    const toldTo = await until('the walk', async () => {
      const sized = await size()
      const turned = plan === 'pro' ? sized : CROWD - sized
      return turned > 0 && turned >= share * CROWD ? turned : undefined
    }, { every: 2 })
    await server.kill()
    midway += toldTo < CROWD - TURN
    await server.start()
    await equalsAReplay(server)
    assert.equal(await size(), plan === 'pro' ? CROWD : 0)
    const [told] = await server.sql(`
      SELECT count(*) AS people, min(n) AS least, max(n) AS most, min(causes) AS causes FROM (
        SELECT profile_id, count(*) AS n, max(CASE cause WHEN 'event' THEN 0 ELSE 1 END) AS causes
        FROM curated.membership_changes WHERE segment = 'professionals' GROUP BY profile_id) AS each`)
    assert.deepEqual([told.people, told.least, told.most, told.causes].map(Number), [CROWD, kill + 1, kill + 1, 0])
  }
  t.diagnostic(`${midway} kills while some were in and others not`)
  await server.stop()
})
