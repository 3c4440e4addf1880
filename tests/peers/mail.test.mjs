// Mail by a real SMTP server: who gets one, what it holds, how it ends, and what comes back as an event.
// Runs alone: `node --test tests/peers/mail.test.mjs`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { refusingMailServer, startMailServer } from './support/mail.mjs'
import { random } from './support/load.mjs'
import { pause, until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const DEFINITIONS = `
kind: segment
name: fresh_buyers
spec: { where: { performed: { event: Order Completed, within: { last: 2s } } } }
---
kind: message
name: thanks
spec:
  on: entered
  segment: fresh_buyers
  channel: email
  topic: marketing
  from: "Lamp Shop <shop@example.com>"
  subject: "Thank you, {{ profile.traits.first_name | default: 'friend' }}"
  text: "Hello {{ profile.traits.first_name | default: 'friend' }}, you are in {{ segment.name }}."
  html: "<p>Hello <b>{{ profile.traits.first_name | default: 'friend' }}</b></p>"
`
let mail
let server
let writeKey
const afterwards = []
before(async () => {
  const hooks = { after: task => afterwards.push(task) }
  mail = await startMailServer(hooks)
  server = await startServer(hooks, { args: ['--smtp', mail.smtp] })
  writeKey = await server.source('shop')
  await server.apply(DEFINITIONS)
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

const consent = marketing => ({ context: { consent: { categoryPreferences: { marketing } } } })
const identify = (userId, traits, more) => server.send(writeKey, 'identify', { userId, traits, ...more })
const buy = (userId, more = {}) => server.send(writeKey, 'track', { userId, event: 'Order Completed', properties: { total: 5 }, ...more })
const isMember = person => person.segments.some(member => member.name === 'fresh_buyers')
const endOf = person => person.recent_events.map(event => event.name).filter(name => /^Email (Sent|Failed|Unknown|Skipped)$/.test(name))
const entered = userId => server.personWhen(`user_id:${userId}`, isMember)
const left = userId => server.personWhen(`user_id:${userId}`, person => !isMember(person))

/** Sends two mails to others, one after the other, by the same road: whatever came before them has been decided by then. */
let markers = 0
async function roadIsEmpty() {
  for (let turn = 0; turn < 2; turn++) {
    const userId = `marker-${markers++}`
    await identify(userId, { email: `${userId}@example.com` }, consent(true))
    await buy(userId)
    await mail.next(`${userId}@example.com`)
  }
}

test('act_1_entering_a_segment_sends_one_mail_that_its_template_made', { timeout: 60_000 }, async () => {
  await identify('ada', { email: 'ada@example.com', first_name: 'Ada <b>&' }, consent(true))
  await buy('ada')
  // A purchase that renews the membership is no entry, and so no second mail.
  await buy('ada')
  const found = await mail.next('ada@example.com')
  assert.equal(found.subject, 'Thank you, Ada <b>&')
  assert.match(found.text, /Hello Ada <b>&, you are in fresh_buyers/)
  assert.match(found.html, /Ada &lt;b&gt;&amp;/, 'what people say about themselves is escaped')
  assert.equal(found.from[0].address, 'shop@example.com')
  assert.match(found.headers['list-unsubscribe-post'] ?? '', /List-Unsubscribe=One-Click/)
  assert.match(found.headers['list-unsubscribe'] ?? '', /^<http/)

  await roadIsEmpty()
  assert.equal((await mail.of('ada@example.com')).length, 1)
})

test('act_6_no_consent_no_marketing', { timeout: 60_000 }, async () => {
  await identify('unasked', { email: 'unasked@example.com' })
  await identify('refused', { email: 'refused@example.com' }, consent(false))
  await identify('withdrawn', { email: 'withdrawn@example.com' }, consent(true))
  await identify('withdrawn', { email: 'withdrawn@example.com' }, consent(false))
  for (const userId of ['unasked', 'refused', 'withdrawn']) {
    await buy(userId)
    await entered(userId)
  }
  await roadIsEmpty()
  for (const userId of ['unasked', 'refused', 'withdrawn']) assert.deepEqual(await mail.of(`${userId}@example.com`), [], userId)
})

test('act_6_one_click_unsubscribes_and_a_look_at_the_link_does_not', { timeout: 60_000 }, async () => {
  const address = 'grace@example.com'
  await identify('grace', { email: address }, consent(true))
  await buy('grace')
  const first = await mail.next(address)
  const link = first.headers['list-unsubscribe'].replace(/[<>]/g, '')
  assert.ok(link.startsWith(`${server.url}/u/`), link)

  // A scanner follows the link: nothing changes, and the next entry is mailed again.
  const seen = await fetch(link)
  assert.equal(seen.status, 200)
  assert.match(await seen.text(), /<form method="post">/)
  assert.equal((await fetch(link, { method: 'HEAD' })).status, 200)
  await left('grace')
  await buy('grace')
  await until('the second mail', async () => (await mail.of(address)).length === 2)

  const done = await fetch(link, {
    method: 'POST', body: 'List-Unsubscribe=One-Click', headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  assert.equal(done.status, 200, await done.text())
  await server.personWhen('user_id:grace', person =>
    person.consents.some(one => one.topic === 'marketing' && one.status === 'unsubscribed'))
  await left('grace')
  await buy('grace')
  await entered('grace')
  await roadIsEmpty()
  assert.equal((await mail.of(address)).length, 2, 'no mail after the click')
  assert.equal((await fetch(`${link}x`, { method: 'POST' })).status, 404, 'a link that is not ours')
})

test('act_1_what_was_sent_comes_back_as_an_event_of_the_person', { timeout: 60_000 }, async () => {
  await identify('joan', { email: 'joan@example.com' }, consent(true))
  await buy('joan')
  await mail.next('joan@example.com')
  const person = await server.personWhen('user_id:joan', found => endOf(found).length > 0)
  assert.deepEqual(endOf(person), ['Email Sent'])
  await server.kith('flush')
  const rows = await server.sql(`
    SELECT e.event, e.source, e.properties FROM clean.events e WHERE e.event = 'Email Sent' AND e.message_id =
      '${person.recent_events.find(event => event.name === 'Email Sent').message_id}'`)
  assert.equal(rows.length, 1, 'it is an event as any other, and counts once')
})

test('act_6_an_import_sends_nothing', { timeout: 60_000 }, async () => {
  const [file, map] = [join(server.home, 'orders.jsonl'), join(server.home, 'orders.yaml')]
  await identify('imported', { email: 'imported@example.com' }, consent(true))
  await writeFile(file, `${JSON.stringify({ who: 'imported', at: new Date().toISOString(), total: 5 })}\n`)
  await writeFile(map, `
event: Order Completed
timestamp: { column: at }
identifiers: { user_id: { column: who } }
properties: { total: { column: total } }
`)
  await server.kith('import', file, '--source', 'shop', '--map', map)
  await entered('imported')
  await roadIsEmpty()
  assert.deepEqual(await mail.of('imported@example.com'), [])
  await server.kith('flush')
  const changes = await server.sql(`
    SELECT c.cause FROM curated.membership_changes c JOIN curated.identifiers i ON c.profile_id = i.profile_id
    WHERE i.value = 'imported' AND c.change = 'entered'`)
  assert.deepEqual(changes, [{ cause: 'import' }])
})

test('act_6_a_message_that_changes_alone_is_the_one_that_is_sent_from_then_on', { timeout: 60_000 }, async () => {
  const subjectOf = async userId => {
    await identify(userId, { email: `${userId}@example.com` }, consent(true))
    await buy(userId)
    return (await mail.next(`${userId}@example.com`)).subject
  }
  assert.equal(await subjectOf('before-change'), 'Thank you, friend')
  // Only the message is another: no segment and no trait moves with it.
  await server.apply(DEFINITIONS.replace('subject: "Thank you,', 'subject: "Many thanks,'))
  assert.equal(await subjectOf('after-change'), 'Many thanks, friend')
  await server.apply(DEFINITIONS)
  assert.equal(await subjectOf('changed-back'), 'Thank you, friend')
})

test('act_6_sending_can_be_paused_at_once', { timeout: 60_000 }, async () => {
  await identify('patient', { email: 'patient@example.com' }, consent(true))
  await server.kith('messages', 'pause')
  const status = (await server.get('/api/status')).body
  assert.deepEqual(status.messages_paused, ['space main'])
  await buy('patient')
  await entered('patient')
  assert.deepEqual(await mail.of('patient@example.com'), [])
  await server.kith('messages', 'resume')
  await roadIsEmpty()
  assert.ok((await mail.of('patient@example.com')).length <= 1)
})

test('act_2_a_mail_server_that_is_away_holds_up_nothing_else', { timeout: 60_000 }, async t => {
  const hooks = { after: task => t.after(task) }
  const lonely = await startServer(hooks, { args: ['--smtp', `127.0.0.1:${mail.unused}`] })
  const key = await lonely.source('shop')
  await lonely.apply(DEFINITIONS)
  await lonely.send(key, 'identify', { userId: 'late', traits: { email: 'late@example.com' }, ...consent(true) })
  await lonely.send(key, 'track', { userId: 'late', event: 'Order Completed' })
  await lonely.personWhen('user_id:late', isMember)
  await lonely.personWhen('user_id:late', person => !isMember(person))
  assert.equal((await lonely.get('/readyz')).status, 200)
  await lonely.stop()
})

test('act_2_no_kill_sends_a_mail_twice', { timeout: 180_000 }, async t => {
  const seed = Number(process.env.KITH_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`KITH_SEED=${seed}`)
  const number = random(seed)
  const struck = await startServer(t, { args: ['--smtp', mail.smtp] })
  const key = await struck.source('shop')
  await struck.apply(DEFINITIONS.replace(', within: { last: 2s }', ''))
  const addressOf = at => `struck-${at}@example.com`
  const event = (at, type) => ({
    type, userId: `struck-${at}`, messageId: `struck-${at}-${type}`, ...consent(true),
    ...(type === 'identify' ? { traits: { email: addressOf(at) } } : { event: 'Order Completed' }),
  })
  const PEOPLE = 60
  let bought = 0
  const buying = (async () => {
    for (let at = 0; at < PEOPLE; at++, bought++) {
      await until('the events to be taken', async () => {
        for (const type of ['identify', 'track']) await struck.send(key, type, event(at, type))
        return true
      }, { within: 60_000, every: 20 })
    }
  })()
  for (let kill = 0; kill < 5; kill++) {
    const before = bought
    await until('more purchases', () => bought >= Math.min(PEOPLE, before + 8))
    await pause(Math.floor(number() * 60))
    await struck.kill()
    await struck.start()
  }
  await buying
  await struck.personWhen(`user_id:struck-${PEOPLE - 1}`, isMember)
  // Every entry came to a known end, which the person's own events tell.
  const ends = []
  for (let at = 0; at < PEOPLE; at++) {
    const person = await struck.personWhen(`user_id:struck-${at}`, found => endOf(found).length > 0)
    ends.push(endOf(person))
  }
  const counts = await Promise.all(ends.map(async (_, at) => (await mail.of(addressOf(at))).length))
  assert.deepEqual(counts.filter(count => count > 1), [], 'marketing is sent at most once')
  for (const [at, end] of ends.entries()) {
    assert.equal(end.length, 1, `${at}: ${end.join(', ')}`)
    if (end[0] === 'Email Sent') assert.equal(counts[at], 1, `${at} was sent and did not arrive`)
    else assert.equal(end[0], 'Email Unknown')
  }
  t.diagnostic(`${ends.filter(([end]) => end === 'Email Unknown').length} of ${PEOPLE} are unknown, ${counts.filter(Boolean).length} arrived`)
  await struck.stop()
})

test('act_2_an_address_that_a_mail_server_refuses_gets_no_second_try_and_one_that_it_puts_off_does', { timeout: 120_000 }, async t => {
  const refusing = await refusingMailServer(t)
  const shop = await startServer(t, { args: ['--smtp', refusing.smtp] })
  const key = await shop.source('shop')
  await shop.apply(DEFINITIONS.replace(', within: { last: 2s }', ''))
  for (const userId of ['gone', 'busy', 'here']) {
    await shop.send(key, 'identify', { userId, traits: { email: `${userId}@example.com` }, ...consent(true) })
    await shop.send(key, 'track', { userId, event: 'Order Completed' })
  }
  const ends = async userId => endOf(await shop.personWhen(`user_id:${userId}`, person => endOf(person).length > 0, { within: 60_000 }))
  assert.deepEqual(await ends('gone'), ['Email Failed'])
  assert.deepEqual(await ends('here'), ['Email Sent'])
  assert.deepEqual(await ends('busy'), ['Email Sent'], 'a refusal that may pass is tried again')
  assert.deepEqual(refusing.asked.filter(address => address.startsWith('gone')), ['gone@example.com'])
  assert.deepEqual(refusing.asked.filter(address => address.startsWith('busy')), ['busy@example.com', 'busy@example.com'])
  assert.deepEqual(refusing.taken.sort(), ['busy@example.com', 'here@example.com'])

  // Status 5.1.1: the address does not exist, so it is never written to again, whatever the message.
  await shop.apply(DEFINITIONS.replaceAll('fresh_buyers', 'callers').replaceAll('Order Completed', 'Called').replace('thanks', 'sorry'))
  await shop.send(key, 'track', { userId: 'gone', event: 'Called' })
  await until('the send to be skipped', async () => {
    const lines = (await shop.kith('messages', 'list', '--json')).split('\n').filter(Boolean).map(line => JSON.parse(line))
    return lines.some(send => send.state === 'skipped' && send.reason === 'suppressed')
  })
  assert.equal(refusing.asked.filter(address => address.startsWith('gone')).length, 1)
  await shop.stop()
})

test('act_1_a_guest_who_has_the_mail_and_turns_out_to_be_somebody_does_not_get_it_again', { timeout: 120_000 }, async () => {
  await server.apply(`
kind: segment
name: lamp_buyers
spec: { where: { performed: { event: Lamp Bought } } }
---
kind: message
name: lamp_thanks
spec:
  on: entered
  segment: lamp_buyers
  channel: email
  topic: marketing
  from: "Lamp Shop <shop@example.com>"
  subject: Your lamp
  text: "Thank you."
`)
  const bought = who => server.send(writeKey, 'track', { ...who, event: 'Lamp Bought' })
  const inBuyers = person => person.segments.some(member => member.name === 'lamp_buyers')
  const mailsOf = async address => (await mail.of(address)).filter(one => one.subject === 'Your lamp').length
  // The accounts are older, so that they are whom the guests turn out to be.
  await identify('gail', { plan: 'pro' }, consent(true))
  await identify('nell', { email: 'nell@example.com' }, consent(true))
  // One says an address as a guest; of the other nothing is known to which mail could go.
  const [guest, nameless] = [{ anonymousId: 'guest-1' }, { anonymousId: 'guest-2' }]
  await server.send(writeKey, 'identify', { ...guest, traits: { email: 'gail.home@example.com' }, ...consent(true) })
  await bought(guest)
  await bought(nameless)
  await mail.next('gail.home@example.com')
  for (const [userId, said] of [['gail', { traits: { email: 'gail.home@example.com' } }], ['nell', nameless]]) {
    await server.send(writeKey, 'identify', { userId, ...said })
    await server.personWhen(`user_id:${userId}`, inBuyers)
  }
  await mail.next('nell@example.com')
  await roadIsEmpty()
  assert.deepEqual(await Promise.all(['gail.home', 'nell'].map(name => mailsOf(`${name}@example.com`))), [1, 1])
  const sends = await server.kith('messages', 'list', '--message', 'lamp_thanks')
  assert.match(sends, /sent_before_merge/)
  const counts = (await server.kith('messages', 'counts', '--json')).trim().split('\n').map(line => JSON.parse(line))
  const ofLamps = counts.filter(one => one.message === 'lamp_thanks').map(one => [one.state, one.reason, one.count])
  assert.deepEqual(ofLamps.sort(), [['accepted', undefined, 2], ['skipped', 'no_address', 1], ['skipped', 'sent_before_merge', 1]])
})

test('act_6_members_by_an_import_get_the_message_once_when_it_is_asked_for_with_its_count', { timeout: 120_000 }, async () => {
  await server.apply(`
kind: segment
name: sofa_owners
spec: { where: { performed: { event: Sofa Bought } } }
---
kind: message
name: sofa_news
spec:
  on: entered
  segment: sofa_owners
  channel: email
  topic: marketing
  from: "Lamp Shop <shop@example.com>"
  subject: Your sofa
  text: "A new cover for it."
`)
  const [file, map] = [join(server.home, 'sofas.jsonl'), join(server.home, 'sofas.yaml')]
  const people = ['sofa-1', 'sofa-2', 'sofa-unasked', 'sofa-live']
  for (const userId of people) await identify(userId, { email: `${userId}@example.com` }, userId === 'sofa-unasked' ? {} : consent(true))
  const bought = people.slice(0, 3).map(who => JSON.stringify({ who, at: '2024-05-01T12:00:00Z' }))
  await writeFile(file, `${bought.join('\n')}\n`)
  await writeFile(map, `
event: Sofa Bought
timestamp: { column: at }
identifiers: { user_id: { column: who } }
`)
  await server.kith('import', file, '--source', 'shop', '--map', map)
  await server.send(writeKey, 'track', { userId: 'sofa-live', event: 'Sofa Bought' })
  const inSofas = person => person.segments.some(member => member.name === 'sofa_owners')
  for (const userId of people) await server.personWhen(`user_id:${userId}`, inSofas)
  await mail.next('sofa-live@example.com')
  await roadIsEmpty()
  const mails = () => Promise.all(people.map(async name => (await mail.of(`${name}@example.com`)).length))
  assert.deepEqual(await mails(), [0, 0, 0, 1], 'an import sends nothing by itself')

  const send = (...flags) => server.kith('messages', 'send', 'sofa_news', ...flags)
  const shown = await send('--dry-run', '--why', 'history came')
  assert.match(shown, /^2 people would get sofa_news \(run \d+\): of 4 members of sofa_owners, 2 are left out/)
  assert.match(shown, /entered_live +1\n/)
  assert.match(shown, /no_consent +1\n/)
  const counted = JSON.parse(await send('--dry-run', '--why', 'history came', '--json'))
  assert.deepEqual([counted.state, counted.counted.sends], ['counted', 2])
  await roadIsEmpty()
  assert.deepEqual(await mails(), [0, 0, 0, 1], 'a count sends nothing')

  // What was not shown is not confirmed.
  const start = body => server.get(`/api/spaces/main/messages/sofa_news/runs/${counted.run}/start`, { method: 'POST', body })
  assert.equal((await start({ count: 3 })).status, 409)
  const most = ['messages', 'send', 'sofa_news', '--run', String(counted.run), '--yes', '--at-most']
  const tooMany = await server.attempt([...most, '1'])
  assert.notEqual(tooMany.code, 0)
  assert.match(tooMany.stderr, /2 were counted, more than 1/)
  await roadIsEmpty()
  assert.deepEqual(await mails(), [0, 0, 0, 1])

  await server.kith(...most, '2')
  for (const userId of ['sofa-1', 'sofa-2']) {
    assert.equal((await mail.next(`${userId}@example.com`)).subject, 'Your sofa')
    await server.personWhen(`user_id:${userId}`, person => endOf(person).includes('Email Sent'))
  }
  assert.match(await send('--run', String(counted.run), '--yes'), /sends it/, 'confirmed twice')
  const again = JSON.parse(await send('--yes', '--json'))
  assert.deepEqual([again.counted.sends, again.counted.left_out.already_sent], [0, 2])
  await roadIsEmpty()
  assert.deepEqual(await mails(), [1, 1, 0, 1], 'asking again sends nothing')
  const ended = await server.attempt(['messages', 'stop', 'sofa_news', String(counted.run)])
  assert.match(ended.stderr, /the run is done already/)
  const told = async () => {
    const runs = (await server.kith('messages', 'runs', '--message', 'sofa_news', '--json')).trim().split('\n').map(line => JSON.parse(line))
    return runs.map(run => [run.state, run.why, run.sends.accepted ?? 0])
  }
  assert.deepEqual(await told(), [['counted', '', 0], ['done', 'history came', 2], ['replaced', 'history came', 0]], 'none is started for nobody')
})
