// Audiences told to another system in Segment's contract: a second Kith receives what a first one tells, whatever fails between.
// Runs alone: `node --test tests/peers/audiences.test.mjs`.
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { createServer, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { freePort, until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

const SEGMENTS = `
kind: segment
name: fresh_buyers
spec: { where: { performed: { event: Order Completed, within: { last: 3s } } } }
---
kind: segment
name: pro
spec: { where: { trait: plan, equals: pro } }
`
const destination = (name, port, fields) => `
kind: destination
name: ${name}
spec: { type: segment, endpoint: "http://127.0.0.1:${port}", write_key: receiver, ${fields} }
`
/** What the receiver makes of it: an audience of its own, by the trait. */
const MIRROR = `
kind: segment
name: told_fresh
spec: { where: { trait: fresh_buyers, equals: true } }
---
kind: segment
name: told_pro
spec: { where: { trait: pro, equals: true } }
`

let receiver
let sender
let gate
let writeKey
const afterwards = []
before(async () => {
  const hooks = { after: task => afterwards.push(task) }
  receiver = await startServer(hooks)
  const key = await receiver.source('sender')
  await receiver.apply(MIRROR)
  gate = await startGate(hooks, receiver.port)
  sender = await startServer(hooks, { env: { KITH_WRITE_KEY_RECEIVER: key } })
  writeKey = await sender.source('shop')
  await sender.apply(SEGMENTS)
})
after(async () => {
  await sender?.stop()
  await receiver?.stop()
  for (const task of afterwards) await task()
})

/** What stands before the receiver: it lets batches through, answers 503, or takes them and loses the answer. */
async function startGate(t, to) {
  const gate = { port: await freePort(), mode: 'open', refused: 0, lost: 0 }
  const server = createServer((asked, answer) => {
    const pieces = []
    asked.on('data', piece => pieces.push(piece))
    asked.on('end', () => {
      if (gate.mode === 'down') {
        gate.refused++
        answer.writeHead(503, { 'retry-after': '1' }).end()
        return
      }
      const options = { host: '127.0.0.1', port: to, method: asked.method, path: asked.url, headers: asked.headers }
      const onwards = httpRequest(options, response => {
        if (gate.mode === 'lossy') {
          gate.lost++
          response.resume()
          response.on('end', () => asked.socket.destroy())
          return
        }
        answer.writeHead(response.statusCode, response.headers)
        response.pipe(answer)
      })
      onwards.on('error', () => asked.socket.destroy())
      onwards.end(Buffer.concat(pieces))
    })
  })
  await new Promise(done => server.listen(gate.port, '127.0.0.1', done))
  t.after(() => (server.closeAllConnections(), server.close()))
  return gate
}

const identify = (userId, traits) => sender.send(writeKey, 'identify', { userId, traits })
const buy = (userId, more = {}) => sender.send(writeKey, 'track', { userId, event: 'Order Completed', properties: { total: 5 }, ...more })
const isIn = (person, segment) => person.segments.some(member => member.name === segment)
const mirrored = (userId, segment, is) => receiver.personWhen(`user_id:${userId}`, person => isIn(person, segment) === is)

const stands = async name => {
  const { body } = await sender.get('/api/spaces/main/destinations')
  return body.destinations.find(found => found.name === name)
}
/** Waits until a destination was told everything that has changed by now. */
const toldAll = name => until(`${name} to be told everything`, async () => {
  const { changes_waiting, members_waiting } = await stands(name)
  return changes_waiting + members_waiting === 0
}, { within: 120_000 })

/** What the receiver keeps of a segment: by user, each call that said true or false, in the order of its instants. */
async function kept(type, segment) {
  await receiver.kith('flush')
  const said = type === 'track' ? 'properties' : 'traits'
  const rows = await receiver.sql(`SELECT user_id, message_id, event, json_get_text(${said}, '${segment}') AS is_in, json_get_text(properties, 'audience_key') AS audience_key
    FROM clean.events WHERE event_type = '${type}' AND json_get_text(${said}, '${segment}') IS NOT NULL ORDER BY event_time, sequence, event_index`)
  assert.equal(new Set(rows.map(row => row.message_id)).size, rows.length, 'each call once')
  const byUser = new Map()
  for (const row of rows) {
    const is = row.is_in === 'true'
    if (type === 'track') assert.deepEqual([row.event, row.audience_key], [is ? 'Audience Entered' : 'Audience Exited', segment])
    byUser.set(row.user_id, [...(byUser.get(row.user_id) ?? []), is])
  }
  return byUser
}

test('seg_5_another_kith_has_the_audience_by_an_event_and_by_the_clock', { timeout: 120_000 }, async () => {
  // Somebody who is in when the destination is connected is told as well.
  await identify('member', { plan: 'pro' })
  await sender.personWhen('user_id:member', person => isIn(person, 'pro'))
  await sender.apply(destination('group', gate.port, 'segments: all'))
  await mirrored('member', 'told_pro', true)

  await buy('ada')
  await mirrored('ada', 'told_fresh', true)
  // Nothing but time goes by.
  await mirrored('ada', 'told_fresh', false)
  await identify('member', { plan: 'free' })
  await mirrored('member', 'told_pro', false)
  await buy(undefined, { anonymousId: 'device-1' })
  await receiver.personWhen('anonymous_id:device-1', person => isIn(person, 'told_fresh'))
  await receiver.personWhen('anonymous_id:device-1', person => !isIn(person, 'told_fresh'))

  await toldAll('group')
  assert.deepEqual((await kept('track', 'fresh_buyers')).get('ada'), [true, false])
  assert.deepEqual((await kept('identify', 'fresh_buyers')).get('ada'), [true, false])
  assert.deepEqual((await kept('track', 'pro')).get('member'), [true, false])
  const { sent, refused, fault } = await stands('group')
  assert.deepEqual({ sent, refused, fault }, { sent: 12, refused: 0, fault: undefined })
})

test('seg_5_a_receiver_that_is_down_and_a_sender_that_is_killed_lose_nothing', { timeout: 300_000 }, async () => {
  const people = Array.from({ length: 40 }, (_, at) => `killed-${at}`)
  const some = turn => people.filter((_, at) => at % 4 === turn)
  // Answers are lost: what was taken is sent again, and counts once.
  gate.mode = 'lossy'
  for (const userId of some(0)) await buy(userId)
  await until('an answer to be lost', () => gate.lost > 0)
  await sender.kill()
  await sender.start()
  // Down for a while, killed meanwhile; people leave by the clock while nobody is told.
  gate.mode = 'down'
  for (const userId of some(1)) await buy(userId)
  await until('a refusal', () => gate.refused > 0)
  // It may still say how an answer was lost before.
  await until('the fault', async () => /503/.test((await stands('group')).fault ?? ''))
  await sender.kill()
  await sender.start()
  for (const userId of some(2)) await buy(userId)
  await Promise.all([...some(1), ...some(2)].map(userId => sender.personWhen(`user_id:${userId}`, person => !isIn(person, 'fresh_buyers'))))
  // It takes batches again, and the sender is killed in the middle of them, again and again.
  gate.mode = 'open'
  for (const userId of some(3)) {
    await buy(userId)
    if (Number(userId.split('-')[1]) % 8 === 3) {
      await sender.kill()
      await sender.start()
    }
  }
  await Promise.all(people.map(userId => sender.personWhen(`user_id:${userId}`, person => !isIn(person, 'fresh_buyers'))))
  await toldAll('group')

  await sender.kith('flush')
  const changes = await sender.sql(`SELECT change, count(*) AS n FROM curated.membership_changes WHERE segment = 'fresh_buyers' GROUP BY change`)
  const made = Object.fromEntries(changes.map(row => [row.change, Number(row.n)]))
  assert.ok(made.entered >= people.length, JSON.stringify(made))
  assert.equal(made.entered, made.exited)
  for (const type of ['track', 'identify']) {
    const told = await kept(type, 'fresh_buyers')
    for (const userId of people) {
      const said = told.get(userId) ?? []
      assert.ok(said.length >= 2 && said.every((is, at) => is === (at % 2 === 0)), `${userId}: ${said}`)
    }
    const all = [...told.values()].flat()
    assert.deepEqual({ entered: all.filter(is => is).length, exited: all.filter(is => !is).length }, made, type)
  }
  for (const userId of people) await mirrored(userId, 'told_fresh', false)
})

test('seg_5_one_destination_down_slows_no_other_and_a_pause_holds', { timeout: 120_000 }, async () => {
  await sender.apply(`${destination('dead', await freePort(), 'segments: [pro], send: identify')}---${destination('second', receiver.port, 'segments: [pro], send: identify, key_prefix: second_')}`)
  await sender.kith('destinations', 'pause', 'group')
  await identify('grace', { plan: 'pro' })
  const grace = await receiver.personWhen('user_id:grace', person => person.traits.some?.(one => one.name === 'second_pro') ?? 'second_pro' in person.traits)
  assert.ok(!isIn(grace, 'told_pro'), 'the paused one tells nothing')
  assert.equal((await stands('group')).paused, true)
  assert.match((await until('the fault', async () => (await stands('dead')).fault)) ?? '', /no answer/)
  await sender.kith('destinations', 'resume', 'group')
  await mirrored('grace', 'told_pro', true)
  const listed = await sender.kith('destinations', 'list')
  for (const name of ['group', 'dead', 'second']) assert.match(listed, new RegExp(name))
  // A key of the receiver that is gone is somebody's to mend: nothing is dropped for it.
  const { waiting_since } = await stands('dead')
  assert.ok(waiting_since, 'what the dead one lacks waits')
})

/** The names that the receiver holds of a segment: by what it was told last of each, track and identify alike. */
async function heldNames(segment) {
  await receiver.kith('flush')
  const rows = await receiver.sql(`SELECT coalesce('user ' || user_id, 'device ' || anonymous_id) AS name, event_type,
      coalesce(json_get_text(properties, '${segment}'), json_get_text(traits, '${segment}')) AS is_in
    FROM clean.events WHERE coalesce(json_get_text(properties, '${segment}'), json_get_text(traits, '${segment}')) IS NOT NULL
    ORDER BY sequence, event_index`)
  const held = type => {
    const last = new Map(rows.filter(row => row.event_type === type).map(row => [row.name, row.is_in === 'true']))
    return [...last].filter(([, is]) => is).map(([name]) => name).sort()
  }
  assert.deepEqual(held('track'), held('identify'))
  return held('track')
}
const guest = (anonymousId, more = {}) => sender.send(writeKey, 'identify', { anonymousId, traits: { plan: 'pro' }, ...more })
const isHeld = (name, is) => until(`${name} ${is ? 'to be held' : 'to be let go'}`, async () => (await heldNames('pro')).includes(name) === is)

test('seg_5_a_guest_who_signs_in_and_leaves_is_held_under_no_name', { timeout: 240_000 }, async () => {
  await identify('older', { plan: 'free' })
  await identify('oldest', { plan: 'free' })
  for (const device of ['guest-1', 'guest-2', 'guest-3']) {
    await guest(device)
    await isHeld(`device ${device}`, true)
  }
  // As an older account, and nobody is a member any more.
  await sender.send(writeKey, 'identify', { userId: 'older', anonymousId: 'guest-1', traits: { plan: 'free' } })
  await isHeld('device guest-1', false)
  // As an older account, which becomes a member by it, and leaves then.
  await sender.send(writeKey, 'identify', { userId: 'oldest', anonymousId: 'guest-2', traits: { plan: 'pro' } })
  await isHeld('user oldest', true)
  await isHeld('device guest-2', false)
  await identify('oldest', { plan: 'free' })
  await isHeld('user oldest', false)
  // As somebody new, who is the same person; killed before they leave.
  await sender.send(writeKey, 'identify', { userId: 'newest', anonymousId: 'guest-3', traits: { plan: 'pro' } })
  await sender.personWhen('user_id:newest', person => isIn(person, 'pro'))
  await sender.kill()
  await sender.start()
  await identify('newest', { plan: 'free' })
  await sender.personWhen('user_id:newest', person => !isIn(person, 'pro'))
  await toldAll('group')
  const left = (await heldNames('pro')).filter(name => /guest|old|new/.test(name))
  assert.deepEqual(left, [])
})

test('raw_2_a_state_that_is_built_again_tells_nobody_again', { timeout: 120_000 }, async () => {
  await toldAll('group')
  const before = await stands('group')
  const kept_before = await kept('track', 'pro')
  await sender.stop()
  await rm(join(sender.data, 'state'), { recursive: true })
  await sender.start()
  await sender.personWhen('user_id:grace', person => isIn(person, 'pro'))
  await buy('after')
  await mirrored('after', 'told_fresh', true)
  await mirrored('after', 'told_fresh', false)
  await toldAll('group')
  // Two calls for the entry and two for the exit, and nothing about anybody else.
  assert.deepEqual({ sent: (await stands('group')).sent, refused: 0 }, { sent: before.sent + 4, refused: before.refused })
  assert.deepEqual(await kept('track', 'pro'), kept_before)
  assert.deepEqual((await kept('track', 'fresh_buyers')).get('after'), [true, false])
})

test('seg_5_exits_and_entries_that_a_lost_state_had_not_told_are_told_after_it', { timeout: 240_000 }, async () => {
  await identify('leaves', { plan: 'pro' })
  await guest('leaves-too')
  await isHeld('user leaves', true)
  await isHeld('device leaves-too', true)
  await toldAll('group')
  const held = await heldNames('pro')
  const before = await stands('group')
  gate.mode = 'down'
  await identify('leaves', { plan: 'free' })
  await sender.send(writeKey, 'identify', { userId: 'signed-in', anonymousId: 'leaves-too', traits: { plan: 'free' } })
  await identify('comes', { plan: 'pro' })
  await sender.personWhen('user_id:comes', person => isIn(person, 'pro'))
  await sender.personWhen('user_id:signed-in', person => !isIn(person, 'pro'))
  await sender.kill()
  await rm(join(sender.data, 'state'), { recursive: true })
  await sender.start()
  gate.mode = 'open'
  await isHeld('user leaves', false)
  await isHeld('device leaves-too', false)
  await isHeld('user comes', true)
  await toldAll('group')
  const expected = [...held.filter(name => !/leaves/.test(name)), 'user comes'].sort()
  assert.deepEqual(await heldNames('pro'), expected)
  // Each once: two exits and an entry, in both forms.
  assert.deepEqual({ sent: (await stands('group')).sent, refused: 0 }, { sent: before.sent + 6, refused: before.refused })
})
