// A whole server whose filesystem becomes full while events come and mails leave: the doors say when to come again, nothing ends,
// and once there is room everything goes on without a restart. Works with support/disk.mjs; where no filesystem can be
// mounted it is skipped. Runs alone: `node --test tests/peers/full_disk.test.mjs`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mountingIsRefused, SmallDisk } from './support/disk.mjs'
import { everythingIsThereOnce, Load } from './support/load.mjs'
import { holdingMailServer } from './support/mail.mjs'
import { until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

/** Several times what all that is sent comes to: what fills it is the filler. */
const MEGABYTES = 256
const DEFINITIONS = `
kind: computed_trait
name: loaded
spec: { function: count, event: Loaded }
---
kind: segment
name: early
spec: { where: { performed: { event: Loaded, where: { property: turn, less_than: 10 }, at_least: 8 } } }
---
kind: segment
name: busy
spec: { where: { performed: { event: Loaded, at_least: 3, within: { last: 1s } } } }
---
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
  text: Thank you for your order.
`
/** Each has a domain of its own, so that no destination makes another wait. */
const addressOf = buyer => `${buyer}@${buyer}.example.com`
const buyers = (from, to) => Array.from({ length: to - from }, (_, at) => `buyer-${from + at}`)

/** Somebody agrees to marketing, and buys. It is sent until it is taken. */
async function buy(server, writeKey, buyer) {
  const said = { userId: buyer, context: { consent: { categoryPreferences: { marketing: true } } } }
  for (const [type, more] of [['identify', { traits: { email: addressOf(buyer) } }], ['track', { event: 'Order Completed' }]]) {
    await until('an event to be taken', () => server.send(writeKey, type, { messageId: `${buyer}-${type}`, ...said, ...more }), { within: 120_000 })
  }
}

/** Every send with where it stands. */
async function sends(server) {
  const lines = (await server.kith('messages', 'list', '--limit', '1000', '--json')).split('\n').filter(Boolean)
  return lines.map(line => JSON.parse(line))
}

/** How many are in each segment. */
async function sizes(server) {
  const { segments } = (await server.get('/api/spaces/main/segments')).body
  return Object.fromEntries(segments.map(segment => [segment.name, segment.size]))
}

/** What people are said to be is what their events in `clean.events` say. */
async function peopleAreRight(server, buying) {
  const counted = await server.sql(`
    SELECT user_id, count(*) AS n, sum(CASE WHEN json_get_number(properties, 'turn') < 10 THEN 1 ELSE 0 END) AS early
    FROM clean.events WHERE event = 'Loaded' GROUP BY user_id`)
  const early = counted.filter(person => person.early >= 8)
  assert.ok(early.length > 0 && early.length < counted.length, `${early.length} of ${counted.length} came early`)
  for (const { user_id: userId, n, early: came } of counted) {
    const person = await server.person(`user_id:${userId}`)
    assert.equal(Number(person.computed_traits.loaded), n, userId)
    assert.deepEqual(person.segments.map(segment => segment.name), came >= 8 ? ['early'] : [], userId)
  }
  for (const buyer of buying) {
    const person = await server.person(`user_id:${buyer}`)
    assert.deepEqual(person.segments.map(segment => segment.name), ['buyers'], buyer)
  }
  assert.deepEqual(await sizes(server), { busy: 0, buyers: buying.length, early: early.length })
  // Told of in turns, and the last of them is how it stands.
  const told = await server.sql(`
    SELECT segment, inside, count(*) AS people FROM (
      SELECT segment, profile_id, sum(CASE change WHEN 'entered' THEN 1 ELSE -1 END) AS inside
      FROM curated.membership_changes GROUP BY segment, profile_id) AS each GROUP BY segment, inside ORDER BY segment`)
  assert.deepEqual(told.map(({ segment, inside }) => [segment, inside]), [['busy', 0], ['buyers', 1], ['early', 1]])
  assert.deepEqual(told.slice(1).map(row => row.people), [buying.length, early.length])
}

/** Fills the disk, does something once the doors say that they take nothing, and frees it; the load is taken again then. */
async function whileFull(disk, load, does) {
  const told = () => load.answers.get(503) ?? 0
  const before = told()
  disk.fill()
  await until('the doors to say so', () => told() > before + 100)
  await does()
  const then = told()
  await until('the doors to go on saying so', () => told() > then + 100)
  const taken = load.acknowledged.size
  await disk.free()
  await until('events to be taken again', () => load.acknowledged.size > taken + 500, { within: 90_000 })
}

/** The process says how it stands: nothing can be written, neither by the log nor by the pipeline. People can be read as they were. */
async function fullIsTold(server, person) {
  assert.equal((await server.get('/livez')).status, 200)
  await until('/readyz to say so', async () => {
    const { status, body } = await server.get('/readyz')
    const faults = body.checks.filter(check => !check.ok).map(check => check.name)
    return status === 503 && !body.ready && ['log', 'pipeline'].every(name => faults.includes(name))
  })
  const doctor = await server.attempt(['doctor'])
  assert.notEqual(doctor.code, 0)
  assert.match(doctor.stdout + doctor.stderr, /log/)
  assert.ok(await server.person(person), 'people can be read')
}

/** The mail server took each mail, at once or after a while, and the process lived all along: it knows how each ended. */
async function everySendEnded(server, mail, buying) {
  const wanted = buying.map(() => 'accepted')
  let states
  await until('every send to end', async () => {
    states = (await sends(server)).map(send => send.state)
    return states.join() === wanted.join()
  }, { within: 90_000, every: 500 }).catch(error => assert.deepEqual(states, wanted, error.message))
  assert.deepEqual(mail.taken.toSorted(), buying.map(addressOf).sort(), 'each mail was sent once')
  await until('each to be told as an event', async () => {
    await server.kith('flush')
    const ends = await server.sql(`SELECT event, user_id, count(*) AS n FROM clean.events WHERE event LIKE 'Email %' GROUP BY 1, 2`)
    return ends.length === buying.length && ends.every(end => end.event === 'Email Sent' && end.n === 1)
  })
}

test('col_3_act_2_a_full_disk_is_told_and_the_server_goes_on_by_itself_once_there_is_room', { timeout: 480_000 }, async t => {
  const refused = await mountingIsRefused(t)
  if (refused) return t.skip(`no filesystem can be mounted here: ${refused}`)
  const mail = await holdingMailServer(t)
  const disk = new SmallDisk(t, MEGABYTES)
  const server = await startServer(t, { args: ['--smtp', mail.smtp], dataIn: () => disk.mount() })
  const { child } = server
  const lives = async () => assert.equal(child.exitCode ?? child.signalCode, null, `the server ended:\n${await server.log()}`)
  const [loadKey, shopKey] = [await server.source('load'), await server.source('shop')]
  await server.apply(DEFINITIONS)
  const load = new Load(server, loadKey, { senders: 3 })
  t.after(() => load.giveUp())
  await until('some load', () => load.acknowledged.size > 500)
  for (const buyer of buyers(0, 6)) await buy(server, shopKey, buyer)
  await until('their mails', () => mail.taken.length === 6)

  // When the disk becomes full, some mails have left and are not answered yet, and others are due.
  mail.hold()
  for (const buyer of buyers(6, 18)) await buy(server, shopKey, buyer)
  await until('sends that wait', async () => mail.held() >= 2 && (await sends(server)).length === 18)
  assert.ok(!load.answers.has(503), 'there was room until now')
  await whileFull(disk, load, async () => {
    t.diagnostic(`${mail.held()} mails were on their way`)
    mail.letGo()
    await fullIsTold(server, 'user_id:buyer-0')
  })
  await lives()
  for (const buyer of buyers(18, 24)) await buy(server, shopKey, buyer)

  // It becomes full while tables are committed and the log is sealed, too.
  const flushed = server.attempt(['flush'])
  await whileFull(disk, load, () => fullIsTold(server, 'user_id:buyer-0'))
  const { code, stderr } = await flushed
  assert.ok(code === 0 || stderr.startsWith('error: '), `a flush that meets it ends, well or with the reason: ${code} ${stderr}`)
  await load.stop()
  t.diagnostic(`${load.acknowledged.size} events acknowledged, ${load.answers.get(503)} batches told 503`)
  assert.deepEqual([...load.answers.keys()].sort(), [200, 503], 'nothing else failed')
  assert.equal(load.withoutRetryAfter, 0, 'every 503 says when to come again')
  await until('everything to be well', async () => {
    const { status, body } = await server.get('/readyz')
    return status === 200 && body.degraded === false
  }, { within: 120_000, every: 200 })
  await lives()

  const all = buyers(0, 24)
  await everythingIsThereOnce(server, load, 'load')
  const ids = new Set(all.flatMap(buyer => [`${buyer}-identify`, `${buyer}-track`]))
  await everythingIsThereOnce(server, { acknowledged: ids, sent: ids }, 'shop')
  await until('nobody to be busy any more', async () => (await sizes(server)).busy === 0)
  await server.kith('flush')
  await peopleAreRight(server, all)
  await server.kith('raw', 'verify')
  await server.kith('rebuild', '--verify', { timeout: 300_000 })
  await everySendEnded(server, mail, all)
  await server.stop()
})
