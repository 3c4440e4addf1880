// Commands that only ask: how many people a draft has, how segments overlap, and who somebody was. The answers are known
// from how the people were made. Runs alone: `node --test tests/peers/drafts.test.mjs`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { instantBetween, until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const DEFINITIONS = `
kind: computed_trait
name: orders
spec: { function: count, event: Order Completed }
---
kind: segment
name: buyers
spec: { where: { performed: Order Completed } }
---
kind: segment
name: visitors
spec: { where: { performed: Product Viewed } }
---
kind: segment
name: pros
spec: { where: { trait: plan, equals: pro } }
`
/** Every second looks, every fifth is a pro, and of three one buys once and one twice. */
const PEOPLE = Array.from({ length: 30 }, (_, at) => (
  { userId: `u${at}`, visitors: at % 2 === 0, pros: at % 5 === 0, orders: at % 3, buyers: at % 3 > 0 }))
const count = wanted => PEOPLE.filter(wanted).length
const namesOf = list => list.map(person => person.identifiers.find(name => name.startsWith('user_id:')).slice(8)).sort()

let server
let writeKey
const afterwards = []
before(async () => {
  server = await startServer({ after: task => afterwards.push(task) })
  writeKey = await server.source('shop')
  await server.apply(DEFINITIONS)
  const batch = PEOPLE.flatMap(({ userId, visitors, pros, orders }) => [
    { type: 'identify', userId, traits: { plan: pros ? 'pro' : 'free' } },
    ...(visitors ? [{ type: 'track', userId, event: 'Product Viewed' }] : []),
    ...Array.from({ length: orders }, () => ({ type: 'track', userId, event: 'Order Completed' })),
  ])
  await server.send(writeKey, 'batch', { batch })
  await server.kith('flush')
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

/** What a draft is estimated at, as an object and in words. */
async function estimate(yaml, ...flags) {
  const file = join(server.home, 'draft.yaml')
  await writeFile(file, yaml)
  const asked = ['segment', 'estimate', '-f', file, ...flags]
  return { counted: JSON.parse(await server.kith(...asked, '--json')), words: await server.kith(...asked) }
}

test('seg_7_a_draft_is_estimated_at_its_members_and_nothing_is_applied', { timeout: 60_000 }, async () => {
  const draft = 'kind: segment\nname: regulars\nspec: { where: { performed: { event: Order Completed, at_least: 2 } } }\n'
  const regulars = PEOPLE.filter(person => person.orders === 2)
  const { counted, words } = await estimate(draft, '--samples', '100', '--overlap', 'visitors,pros')
  const [segment, ...others] = counted.segments
  assert.deepEqual([counted.people, counted.asked, counted.exact, others], [30, 30, true, []])
  assert.deepEqual([segment.name, segment.size, segment.size_before ?? null], ['regulars', regulars.length, null])
  assert.deepEqual(namesOf(segment.members), regulars.map(person => person.userId).sort())
  const beside = Object.fromEntries(segment.overlaps.map(one => [one.segment, one.people]))
  assert.deepEqual(beside, {
    visitors: count(person => person.orders === 2 && person.visitors), pros: count(person => person.orders === 2 && person.pros),
  })
  assert.ok(words.includes(`segment regulars: ${regulars.length} members (new)`), words)
  assert.ok(words.includes(`of whom ${beside.visitors} are in visitors`), words)
  assert.ok(words.includes('everybody was asked: 30 people'), words)
  const names = (await server.get('/api/spaces/main/segments')).body.segments.map(one => one.name).sort()
  assert.deepEqual(names, ['buyers', 'pros', 'visitors'])
})

test('seg_7_an_edit_of_a_live_segment_is_estimated_as_who_would_enter_and_leave', { timeout: 60_000 }, async () => {
  // Pros come in, and who has bought once goes out.
  const edit = `
kind: segment
name: buyers
spec: { where: { any: [{ computed_trait: orders, greater_or_equal: 2 }, { trait: plan, equals: pro }] } }
`
  const { counted, words } = await estimate(edit, '--samples', '100')
  const [segment] = counted.segments
  const enters = PEOPLE.filter(person => !person.buyers && person.pros)
  const leaves = PEOPLE.filter(person => person.orders === 1 && !person.pros)
  const size = count(person => person.orders === 2 || person.pros)
  assert.deepEqual([segment.size, segment.size_before], [size, 20])
  assert.deepEqual([segment.enters, segment.leaves], [enters.length, leaves.length])
  assert.deepEqual(namesOf(segment.entering), enters.map(person => person.userId).sort())
  assert.deepEqual(namesOf(segment.leaving), leaves.map(person => person.userId).sort())
  assert.ok(words.includes(`segment buyers: ${size} members (20 now, ${enters.length} enter, ${leaves.length} leave)`), words)
  // Everybody belongs to the sample of so few.
  const quick = await until('everybody to be in the sample', async () => {
    const { counted: found } = await estimate(edit, '--quick')
    return found.asked === 30 ? found : undefined
  })
  assert.deepEqual([quick.exact, quick.segments[0].size, quick.segments[0].enters], [true, size, enters.length])
  // Only asked: the segment is as it was.
  const live = (await server.get('/api/spaces/main/segments')).body.segments.find(one => one.name === 'buyers')
  assert.equal(live.size, 20)
  await writeFile(join(server.home, 'several.yaml'), DEFINITIONS)
  const several = await server.attempt(['segment', 'estimate', '-f', join(server.home, 'several.yaml')])
  assert.notEqual(several.code, 0)
  assert.match(several.stderr, /must hold one definition, of kind segment/)
})

test('seg_7_overlaps_of_live_segments_count_everybody_once', { timeout: 60_000 }, async () => {
  const names = ['buyers', 'visitors', 'pros']
  const overlap = JSON.parse(await server.kith('segment', 'overlap', ...names, '--json'))
  assert.deepEqual(Object.fromEntries(overlap.segments.map(one => [one.name, one.size])), { buyers: 20, visitors: 15, pros: 6 })
  assert.equal(overlap.in_any, count(person => names.some(name => person[name])))
  const regions = {}
  for (const person of PEOPLE) {
    const key = names.filter(name => person[name]).sort().join()
    if (key) regions[key] = (regions[key] ?? 0) + 1
  }
  const found = overlap.regions.filter(region => region.people > 0).map(region => [[...region.only_in].sort().join(), region.people])
  assert.deepEqual(Object.fromEntries(found), regions)
  const words = await server.kith('segment', 'overlap', 'buyers', 'visitors')
  assert.match(words, /buyers \+ visitors\s+10\b/)
  assert.match(words, /25 people are in any of them/)
})

test('idn_8_a_person_is_given_as_of_a_past_instant_and_in_hindsight', { timeout: 60_000 }, async () => {
  const order = (messageId, more) => server.send(writeKey, 'track', { messageId, event: 'Order Completed', ...more })
  const orders = person => Number(person.computed_traits.orders)
  const unborn = await instantBetween()
  await server.send(writeKey, 'identify', { userId: 'jo', traits: { plan: 'free' } })
  await order('jo-1', { userId: 'jo' })
  const first = await server.personWhen('user_id:jo', person => orders(person) === 1)
  const early = await instantBetween()
  await order('jo-2', { anonymousId: 'jo-phone' })
  await server.personWhen('anonymous_id:jo-phone', person => orders(person) === 1)
  const apart = await instantBetween()
  await server.send(writeKey, 'identify', { userId: 'jo', anonymousId: 'jo-phone', traits: { plan: 'pro' } })
  await server.personWhen('user_id:jo', person => orders(person) === 2)
  // It happened before `early`, and came after everything else.
  await order('jo-3', { userId: 'jo', timestamp: new Date(Date.parse(early) - 60_000).toISOString() })
  await server.personWhen('user_id:jo', person => orders(person) === 3)

  const get = async (identifier, ...flags) => JSON.parse(await server.kith('profile', 'get', identifier, '--json', ...flags))
  const shown = person => [orders(person), person.traits.plan, person.segments.map(one => one.name).sort().join()]
  assert.deepEqual(shown(await get('user_id:jo')), [3, 'pro', 'buyers,pros'])
  const then = await get('user_id:jo', '--as-of', early)
  assert.deepEqual(shown(then), [1, 'free', 'buyers'])
  assert.equal(then.id, first.id)
  assert.deepEqual([then.as_of, then.known_at].map(Date.parse), [Date.parse(early), Date.parse(early)])
  const both = await Promise.all(['user_id:jo', 'anonymous_id:jo-phone'].map(one => get(one, '--as-of', apart)))
  assert.deepEqual(both.map(orders), [1, 1])
  assert.notEqual(both[0].id, both[1].id, 'nobody had told them to be one yet')
  // With what is known today, the order that came late counts, and the phone is Jo's from the beginning.
  const hindsight = await get('user_id:jo', '--as-of', apart, '--known-at', new Date().toISOString())
  assert.deepEqual(shown(hindsight), [3, 'free', 'buyers'])
  const words = await server.kith('profile', 'get', 'user_id:jo', '--as-of', early)
  assert.match(words, /^profile prf_[0-9a-f]+ at \d{4}-\d\d-\d\dT[\d:.]+Z, as known then\n/)
  const late = await server.kith('profile', 'get', 'user_id:jo', '--as-of', apart, '--known-at', new Date().toISOString())
  assert.match(late, /^profile prf_[0-9a-f]+ at \S+Z, as known at \S+Z\n/)
  assert.match(words, /orders: 1\b/)
  assert.match(words, /plan: free/)

  const none = await server.attempt(['profile', 'get', 'user_id:jo', '--as-of', unborn])
  assert.notEqual(none.code, 0, 'of whom nothing was known is not found')
  assert.equal(none.stdout, '')
  const ahead = await server.attempt(['profile', 'get', 'user_id:jo', '--as-of', '2999-01-01T00:00:00Z'])
  assert.notEqual(ahead.code, 0, 'a moment to come is refused')
})
