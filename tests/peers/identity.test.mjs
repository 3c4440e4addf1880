// Who is who, asked and decided from outside: why, what if, a veto and its end, over the command line and the API, with
// the lake and a replay to compare. Runs alone: `node --test tests/peers/identity.test.mjs`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startMailServer } from './support/mail.mjs'
import { startServer } from './support/server.mjs'

const DEFINITIONS = `
kind: computed_trait
name: spent
spec: { function: sum, event: Order Completed, property: total }
---
kind: segment
name: pro
spec: { where: { trait: plan, equals: pro } }
`
const AMBIGUOUS = `
kind: identity_rules
name: default
spec: { types: { email: { claim: ambiguous } } }
`
const isIn = (person, segment) => person.segments.some(member => member.name === segment)

test('idn_6_idn_7_a_wrong_merge_is_explained_undone_and_stays_undone', { timeout: 180_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  await server.apply(DEFINITIONS)
  const order = (person, total) => server.send(writeKey, 'track', { ...person, event: 'Order Completed', properties: { total } })
  const jo = { anonymousId: 'jo-laptop', context: { traits: { email: 'jo@example.com' } } }
  await order(jo, 5)
  const before = await server.personWhen('email:jo@example.com', person => Number(person.computed_traits.spent) === 5)
  await server.send(writeKey, 'identify', { userId: 'ann', traits: { plan: 'pro' } })
  await server.personWhen('user_id:ann', person => isIn(person, 'pro'))
  // Ann types her friend's address by mistake.
  await server.send(writeKey, 'identify', { userId: 'ann', traits: { email: 'jo@example.com' } })
  await server.personWhen('email:jo@example.com', person => isIn(person, 'pro'))
  await order({ userId: 'ann' }, 7)

  const why = JSON.parse(await server.kith('identity', 'why', 'user_id:ann', 'email:Jo@Example.com', '--json'))
  assert.equal(why.together, true)
  assert.equal(why.path.length, 1)
  assert.equal(why.path[0].event.type, 'identify')
  const wrong = why.path[0].event.address
  assert.match(await server.kith('identity', 'why', 'user_id:ann', 'email:jo@example.com'), /are one person/)
  const { id } = await server.person('user_id:ann')
  const byId = await server.kith('identity', 'why', 'user_id:ann', id)
  assert.ok(byId.startsWith(`${id} comes from `) && byId.includes('are one person'), byId)
  const unknown = await server.attempt(['identity', 'why', 'user_id:nobody', 'email:null'])
  assert.notEqual(unknown.code, 0)
  assert.match(unknown.stderr, /user_id:nobody: no event has named this identifier yet; email:null: the rules of identity block this value/)

  const asked = ['identity', 'what-if', '--without', wrong, 'email:jo@example.com']
  const outlook = JSON.parse(await server.kith(...asked, '--json'))
  assert.deepEqual([outlook.splits_total, outlook.merges_total, outlook.complete], [1, 0, true])
  assert.match(await server.kith(...asked), /1 profile would split/)
  const mistyped = await server.attempt(['identity', 'what-if', '--without', '0-0-777777-0', 'email:jo@example.com'])
  assert.notEqual(mistyped.code, 0)
  assert.match(mistyped.stderr, /no event at that address names that identifier/)
  const rules = join(server.home, 'rules.yaml')
  await writeFile(rules, AMBIGUOUS)
  const under = JSON.parse(await server.kith('identity', 'what-if', '--rules', rules, '--json'))
  assert.equal(under.splits_total, 0, 'only one has claimed the address')

  const refused = await server.attempt(['identity', 'veto', '0-0-9999-0', 'email:jo@example.com'])
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /no event at that address/)
  await server.kith('identity', 'veto', wrong, 'email:jo@example.com', '--reason', "a friend's address")
  const parted = await server.personWhen('email:jo@example.com', person => !isIn(person, 'pro'))
  assert.equal(parted.id, before.id)
  assert.equal(Number(parted.computed_traits.spent), 5)
  const ann = await server.personWhen('user_id:ann', person => Number(person.computed_traits.spent) === 7)
  assert.ok(isIn(ann, 'pro') && ann.id !== before.id)
  const apart = await server.kith('identity', 'why', 'user_id:ann', 'email:jo@example.com')
  assert.match(apart, /are not one person/)
  const vetoed = `Evidence between them was refused:\n  email:jo@example.com: the event was declared not to link it (identify, `
  assert.ok(apart.includes(vetoed) && apart.includes(`event ${wrong})`) && !apart.includes('Left out of their links'), apart)
  await server.kith('flush')
  const changes = await server.sql(`
    SELECT change, cause FROM curated.membership_changes WHERE segment = 'pro' ORDER BY at, change`)
  assert.deepEqual(changes.slice(-2).map(({ change, cause }) => [change, cause]), [['entered', 'regrouping'], ['exited', 'regrouping']])

  await server.kill()
  await server.start()
  assert.equal((await server.person('user_id:ann')).id, ann.id, 'a restart keeps it')
  assert.match(await server.kith('identity', 'vetoes'), /does not link email:jo@example.com  since .*: a friend's address/)
  await server.kith('rebuild', '--verify')

  await server.kith('identity', 'veto', wrong, 'email:jo@example.com', '--remove')
  const again = await server.personWhen('user_id:ann', person => person.id === before.id)
  assert.equal(Number(again.computed_traits.spent), 12)
  await server.kith('identity', 'unmerge', 'user_id:ann', 'email:jo@example.com')
  await server.personWhen('user_id:ann', person => person.id === ann.id)
  assert.match(
    await server.kith('identity', 'unmerge', 'user_id:ann', 'email:nobody@example.com'),
    /nobody is regrouped by it now\nnobody has email:nobody@example.com yet/,
  )
  await server.kith('identity', 'unmerge', 'user_id:ann', 'email:nobody@example.com', '--remove')
  const { body } = await server.get('/api/spaces/main/identity/vetoes')
  const [{ since, ...veto }, ...others] = body.vetoes
  assert.deepEqual([veto, others], [{ one: 'user_id:ann', other: 'email:jo@example.com' }, []])
  assert.ok(Date.parse(since) <= Date.now(), since)
})

const LOYAL = `
kind: segment
name: loyal
spec: { where: { performed: { event: Order Completed, at_least: 3 } } }
---
kind: computed_trait
name: orders
spec: { function: count, event: Order Completed }
`
const NO_DESK = `
kind: identity_rules
name: default
spec: { types: { email: { blocked: [desk@example.com] } } }
`

test('idn_7_a_plan_of_other_rules_tells_what_applying_them_does', { timeout: 180_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('till')
  await server.apply(LOYAL)
  const desk = { context: { traits: { email: 'desk@example.com' } } }
  for (const userId of ['ann', 'cay', 'dee']) {
    await server.send(writeKey, 'track', { userId, event: 'Order Completed' })
  }
  for (const anonymousId of ['t1', 't2', 't3']) {
    await server.send(writeKey, 'track', { ...desk, anonymousId, event: 'Order Completed' })
  }
  const melted = await server.personWhen('email:desk@example.com', person => isIn(person, 'loyal'))
  const rules = join(server.home, 'no-desk.yaml')
  await writeFile(rules, NO_DESK)
  const tried = await server.kith('identity', 'what-if', '--rules', rules)
  assert.match(tried, /1 profile would split and 0 would come from several\.[^]*would split into:/)
  assert.match(tried, /anonymous_id:t\d would move from prf_\S+ to prf_\S+\.[^]*/)
  assert.match(tried, /email:desk@example\.com would be blocked\./)
  const words = await server.kith('plan', '-f', rules)
  assert.match(words, /\n    1 identifier would be blocked, 0 would be no more\n/)
  assert.match(words, /who is who: 4 profiles now, 6 then; 1 would split, 0 would come from several/)
  assert.match(words, /segment loyal: 0 members \(1 now, 0 enter, 1 leave\)/)
  const { people } = JSON.parse(await server.kith('plan', '-f', rules, '--json'))
  const [loyal] = people.segments
  assert.deepEqual([people.people, people.exact, people.segments.length], [4, true, 1])
  assert.deepEqual([loyal.name, loyal.size_before, loyal.size, loyal.leaves], ['loyal', 1, 0, 1])
  assert.equal(loyal.leaving[0].id, melted.id)
  assert.equal(people.identity.splits[0].into.length, 3)
  const { body: status } = await server.get('/api/status')
  assert.equal(status.dry_run, undefined, 'nothing is under way any more')

  await server.kith('apply', '-f', rules, '--wait')
  const parted = await server.personWhen('anonymous_id:t1', person => !isIn(person, 'loyal'))
  assert.equal(Number(parted.computed_traits.orders), 1)
  const then = await Promise.all(['t1', 't2', 't3'].map(one => server.person(`anonymous_id:${one}`)))
  const told = people.identity.splits[0].into.map(one => one.profile)
  assert.deepEqual(then.map(one => one.id).sort(), told.sort())
  assert.match(await server.kith('plan', '-f', rules), /0 to create, 0 to update, 0 to delete, 1 unchanged/)

  // Of a second document nothing would count: it is refused wherever it comes in.
  const second = { kind: 'identity_rules', name: 'another', spec: { types: { emial: { limit: 1 } } } }
  await writeFile(rules, JSON.stringify(second))
  for (const command of ['plan', 'apply']) {
    const { code, stderr } = await server.attempt([command, '-f', rules])
    assert.notEqual(code, 0, command)
    assert.match(stderr, /identity_rules\/another: a space has one document of kind identity_rules, and there is identity_rules\/default already/)
  }
  const path = '/api/spaces/main/definitions'
  for (const action of ['plan', 'apply', 'impact']) {
    const { status, body } = await server.get(`${path}/${action}`, { method: 'POST', body: { documents: [second] } })
    assert.deepEqual([status, body.error.problems[0].document], [422, 'identity_rules/another'], action)
  }
  // In the place of the one that there is it is taken.
  const removals = [{ kind: 'identity_rules', name: 'default' }]
  const { body: plan } = await server.get(`${path}/plan`, { method: 'POST', body: { documents: [second], removals } })
  assert.deepEqual(plan.changes.map(({ name, action }) => [name, action]), [['another', 'create'], ['default', 'delete']])
  assert.deepEqual(plan.warnings, [{
    document: 'identity_rules/another', message: 'nobody has sent an identifier of a type named "emial"; did you mean "email"?',
  }])
})

const THANKS = `
kind: segment
name: buyers
spec: { where: { performed: Order Completed } }
---
kind: message
name: thanks
spec:
  on: entered
  segment: buyers
  channel: email
  topic: marketing
  from: "Lamp Shop <shop@example.com>"
  subject: Thank you
  text: "You are in {{ segment.name }}."
`

test('idn_6_whoever_enters_a_segment_by_an_unmerge_gets_no_mail', { timeout: 120_000 }, async t => {
  const mail = await startMailServer(t)
  const server = await startServer(t, { args: ['--smtp', mail.smtp] })
  const writeKey = await server.source('shop')
  await server.apply(THANKS)
  const consent = { context: { consent: { categoryPreferences: { marketing: true } } } }
  const buyer = async userId => {
    await server.send(writeKey, 'identify', { userId, traits: { email: `${userId}@example.com` }, ...consent })
    await server.send(writeKey, 'track', { userId, event: 'Order Completed' })
    await mail.next(`${userId}@example.com`)
  }
  // Jo has no account: only an address, which Eve types by mistake.
  await server.send(writeKey, 'track', { anonymousId: 'jo', event: 'Seen', context: { traits: { email: 'jo@example.com' } } })
  await buyer('eve')
  const own = await server.personWhen('user_id:eve', person => isIn(person, 'buyers'))
  await server.send(writeKey, 'identify', { userId: 'eve', traits: { email: 'jo@example.com' } })
  await server.personWhen('user_id:eve', person => person.id !== own.id)
  // Mails to others by the same road: whatever came before them has been decided by then. The merge was Eve's own act.
  const count = async () => (await mail.of('eve@example.com')).length + (await mail.of('jo@example.com')).length
  await buyer('marker-1')
  await buyer('marker-2')
  const before = await count()
  const why = JSON.parse(await server.kith('identity', 'why', 'user_id:eve', 'email:jo@example.com', '--json'))
  await server.kith('identity', 'veto', why.path.at(-1).event.address, 'email:jo@example.com')
  await server.personWhen('user_id:eve', person => person.id === own.id && isIn(person, 'buyers'))
  await buyer('marker-3')
  await buyer('marker-4')
  await server.kith('flush')
  const entered = await server.sql(`
    SELECT cause FROM curated.membership_changes WHERE segment = 'buyers' AND change = 'entered' AND profile_id = '${own.id}' ORDER BY at`)
  assert.deepEqual(entered.map(({ cause }) => cause), ['event', 'regrouping'])
  assert.equal(await count(), before)
})

const LAMPS = `
kind: segment
name: lamp_lovers
spec: { where: { performed: { event: Lamp Viewed, at_least: 3 } } }
---
kind: message
name: lamps
spec:
  on: entered
  segment: lamp_lovers
  channel: email
  topic: marketing
  from: "Lamp Shop <shop@example.com>"
  subject: Lamps
  text: "You are in {{ segment.name }}."
`

// The worked example of docs/identity.md, step by step.
test('idn_9_idn_6_a_mistake_on_a_shared_device_is_seen_explained_and_undone_without_a_mail', { timeout: 120_000 }, async t => {
  const mail = await startMailServer(t)
  const server = await startServer(t, { args: ['--smtp', mail.smtp] })
  const writeKey = await server.source('shop')
  await server.apply(LAMPS)
  const consent = { context: { consent: { categoryPreferences: { marketing: true } } } }
  const laptop = { anonymousId: 'laptop' }
  const known = async userId => {
    await server.send(writeKey, 'identify', { userId, traits: { email: `${userId}@example.com` }, ...consent })
  }
  const viewed = person => server.send(writeKey, 'track', { ...person, event: 'Lamp Viewed' })
  await known('ann')
  await known('bo')
  await server.send(writeKey, 'track', { userId: 'ann', ...laptop, event: 'Signed In' })
  await viewed(laptop)
  // Bo looks something up on Ann's laptop and forgets to sign out; what Ann does there without signing in is Bo's from then on.
  await server.send(writeKey, 'track', { userId: 'bo', ...laptop, event: 'Signed In' })
  for (const _ of [1, 2, 3]) await viewed(laptop)
  await server.personWhen('user_id:bo', person => isIn(person, 'lamp_lovers'))
  await mail.next('bo@example.com')

  // Each says when the laptop was theirs.
  const [ofAnn, ofBo] = await Promise.all(['ann', 'bo'].map(async one =>
    (await server.person(`user_id:${one}`)).identifiers.find(({ value }) => value === 'laptop')))
  assert.ok(ofBo.valid_from && ofAnn.valid_to === ofBo.valid_from && !ofAnn.valid_from && !ofBo.valid_to)
  assert.ok((await server.kith('profile', 'get', 'user_id:ann')).includes(`anonymous_id:laptop  until ${ofAnn.valid_to}\n`))
  assert.ok((await server.kith('profile', 'get', 'user_id:bo')).includes(`anonymous_id:laptop  from ${ofBo.valid_from} on\n`))

  const seen = JSON.parse(await server.kith('segment', 'explain', 'lamp_lovers', 'user_id:bo', '--json'))
  assert.equal(seen.member, true)
  const why = JSON.parse(await server.kith('identity', 'why', 'user_id:bo', 'anonymous_id:laptop', '--json'))
  assert.equal(why.together, true)
  const [step] = why.path
  assert.equal(step.event.type, 'track')
  assert.match(await server.kith('identity', 'why', 'user_id:bo', 'anonymous_id:laptop'), /by a sign-in, Signed In, shop, /)
  const outlook = JSON.parse(await server.kith('identity', 'what-if', '--without', step.event.address, 'anonymous_id:laptop', '--json'))
  assert.equal(outlook.complete, true)
  const words = await server.kith('identity', 'what-if', '--without', step.event.address, 'anonymous_id:laptop')
  assert.match(words, /^anonymous_id:laptop would move from prf_\w+ to prf_\w+\.\n/)

  const mails = async () => (await Promise.all(['ann', 'bo'].map(one => mail.of(`${one}@example.com`)))).flat().length
  const before = await mails()
  await server.kith('identity', 'veto', step.event.address, 'anonymous_id:laptop', '--reason', "Bo was at Ann's laptop")
  const ann = await server.personWhen('user_id:ann', person => isIn(person, 'lamp_lovers'))
  const bo = await server.personWhen('user_id:bo', person => !isIn(person, 'lamp_lovers'))
  assert.equal((await server.person('anonymous_id:laptop')).id, ann.id, 'the laptop is hers again')
  assert.ok(bo.identifiers.every(one => one.value !== 'laptop'))
  await server.kith('flush')
  const told = await server.sql(`
    SELECT profile_id, change, cause FROM curated.membership_changes WHERE segment = 'lamp_lovers' AND cause = 'regrouping' ORDER BY change`)
  assert.deepEqual(told.map(one => [one.profile_id, one.change]), [[ann.id, 'entered'], [bo.id, 'exited']])
  // Somebody else's mail by the same road: whatever the undoing had caused would have come before it.
  await known('cay')
  for (const _ of [1, 2, 3]) await viewed({ userId: 'cay' })
  await mail.next('cay@example.com')
  await server.kith('flush')
  assert.equal(await mails(), before, 'the undoing sends nothing')
  await server.kith('rebuild', '--verify')
})
