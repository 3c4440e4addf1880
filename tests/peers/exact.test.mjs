// Values on the edge, from the door to every reader: what is taken is the same number and the same text wherever it is read, and
// what cannot be carried is refused with its reason. Numbers are looked at as the text that they are, since JavaScript would round
// them. Runs alone: `node --test tests/peers/exact.test.mjs`.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runPython } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

/** What JSON says of a number, and how it is told everywhere: digits and places as they are, without what says nothing. */
const NUMBERS = [
  ['9007199254740993', '9007199254740993'],
  ['-9007199254740993', '-9007199254740993'],
  ['18446744073709551617', '18446744073709551617'],
  ['0.1', '0.1'],
  ['0.30000000000000004', '0.30000000000000004'],
  ['19.90', '19.9'],
  ['-0', '0'],
  ['-0.0', '0'],
  ['1E-7', '0.0000001'],
  ['5e-324', '5e-324'],
  ['1e21', '1000000000000000000000'],
  ['12345678901234567890123456789012345678', '12345678901234567890123456789012345678'],
  ['0.00000000000000000000000000000000000001', '0.00000000000000000000000000000000000001'],
  ['1e400', '1e400'],
]
/** As they stand in JSON. */
const TEXTS = [
  ['a\\u0000b', 'a\u0000b'],
  ['\\u0000', '\u0000'],
  ['\\ud83d\\udecd', '\u{1f6cd}'],
  ['\\u2028\\u202e\\ufeff', '\u2028\u202e\ufeff'],
  ['e\\u0301 is not \\u00e9', 'e\u0301 is not \u00e9'],
]
/** Events that cannot be carried, with the code and the path that they are told. */
const REFUSED = [
  ['{"n":1e401}', 'number_out_of_range', 'properties.n'],
  ['{"n":-1e999}', 'number_out_of_range', 'properties.n'],
  ['{"n":1e-999}', 'number_out_of_range', 'properties.n'],
  ['{"n":1234567890123456789012345678901234567890123}', 'number_out_of_range', 'properties.n'],
  ['{"n":NaN}', 'invalid_json', 'properties.n'],
  ['{"deep":["\\ud800"]}', 'lone_surrogate', 'properties.deep[0]'],
  ['{"t":"\\udc00\\ud800"}', 'lone_surrogate', 'properties.t'],
  ['{"a":1,"a":1}', 'duplicate_key', 'properties.a'],
  ['{"a":1,"\\u0061":2}', 'duplicate_key', 'properties.a'],
]
const SUMS = [
  // Doubles would give …992 and …993, or 0.30000000000000004.
  { name: 'large', said: ['9007199254740993', '1'], sum: '9007199254740994', largest: '9007199254740993' },
  { name: 'small', said: ['0.1', '0.2'], sum: '0.3', largest: '0.2' },
  { name: 'opposite', said: ['9007199254740993', '-9007199254740992', '-0'], sum: '1', largest: '9007199254740993' },
  // Beyond 20 digits before the point: it is left out, and that is told.
  { name: 'beyond', said: ['1e400', '7'], sum: '7', largest: '7', approximate: true },
]
const DEFINITIONS = `
kind: computed_trait
name: spent
spec: { function: sum, event: Bought, property: n }
---
kind: computed_trait
name: largest
spec: { function: max, event: Bought, property: n }
---
kind: segment
name: exactly
spec: { where: { computed_trait: spent, equals: 9007199254740994 } }
---
kind: segment
name: nearly
spec: { where: { any: [{ computed_trait: spent, equals: 9007199254740992 }, { computed_trait: spent, equals: 9007199254740993 }] } }
---
kind: segment
name: three_tenths
spec: { where: { computed_trait: spent, equals: 0.3 } }
`
let server
let writeKey
let refusals
let outside
const afterwards = []
before(async () => {
  server = await startServer({ after: task => afterwards.push(task) })
  writeKey = await server.source('web')
  await server.apply(DEFINITIONS)
  const one = (userId, type, fields) => `{"type":"${type}","messageId":"${type}-${userId}","userId":"${userId}",${fields}}`
  for (const [kind, values] of [['number', NUMBERS.map(([sent]) => sent)], ['text', TEXTS.map(([sent]) => `"${sent}"`)]]) {
    for (const [at, sent] of values.entries()) {
      await taken('track', one(`${kind}-${at}`, 'track', `"event":"Said","properties":{"n":${sent},"list":[${sent}]}`))
      await taken('identify', one(`${kind}-${at}`, 'identify', `"traits":{"n":${sent}}`))
    }
  }
  for (const { name, said } of SUMS) {
    const events = said.map((n, at) => `{"type":"track","messageId":"${name}-${at}","userId":"${name}","event":"Bought","properties":{"n":${n}}}`)
    await taken('batch', `{"batch":[${events}]}`)
  }
  // Names and ids are texts as well: none ends at NUL, so these are two people.
  await taken('track', '{"messageId":"nul\\u0000id","userId":"nul\\u0000one","event":"Odd\\u0000name","properties":{"k\\u0000y":"v"}}')
  await taken('track', '{"messageId":"nul","userId":"nul","event":"Odd","properties":{"k":"v"}}')
  refusals = []
  for (const [properties] of REFUSED) refusals.push(await post('track', refused(properties)))
  await server.kith('flush')
  outside = await runPython('lake/read_events.py', [join(server.data, 'tables.db'), 'main'])
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

const refused = properties => `{"type":"track","messageId":"refused","userId":"refused","event":"Refused","properties":${properties}}`

async function post(door, body) {
  const headers = { authorization: basic(writeKey), 'content-type': 'application/json' }
  const response = await fetch(`${server.url}/v1/${door}`, { method: 'POST', body, headers })
  return { status: response.status, body: await response.json() }
}

async function taken(door, body) {
  assert.deepEqual(await post(door, body), { status: 200, body: { success: true } }, body)
}

/** The text of an answer. */
async function text(path, authorization = `Bearer ${server.key}`) {
  const response = await fetch(server.url + path, { headers: { authorization } })
  const answer = await response.text()
  assert.equal(response.status, 200, answer)
  return answer
}

const profile = userId => text(`/api/spaces/main/profiles/${encodeURIComponent(`user_id:${userId}`)}`)
/** What stands behind a name in JSON, letter for letter, where that is a number. */
const numberOf = (json, name) => json.match(new RegExp(`"${name}":(-?[0-9][0-9.eE+-]*)[,}]`))?.[1]

test('col_8_numbers_are_the_same_to_the_last_digit_in_sql_and_in_every_engine', { timeout: 60_000 }, async () => {
  const rows = await server.sql(`SELECT user_id, event, properties, traits, json_get_text(properties, 'n') AS n FROM clean.events`)
  for (const [at, [sent, told]] of NUMBERS.entries()) {
    const own = rows.filter(row => row.user_id === `number-${at}`)
    const said = own.find(row => row.event === 'Said')
    assert.deepEqual([said.properties, said.n], [`{"n":${told},"list":[${told}]}`, told], sent)
    assert.equal(own.find(row => row.event === 'identify').traits, `{"n":${told}}`, sent)
    for (const engine of ['pyiceberg', 'duckdb', 'polars']) {
      const seen = outside[engine]['clean.events'].filter(row => row.user_id === `number-${at}`)
      assert.deepEqual(seen.map(row => [row.message_id, row.properties, row.traits]), [
        [`identify-number-${at}`, '{}', `{"n":${told}}`], [`track-number-${at}`, `{"n":${told},"list":[${told}]}`, '{}'],
      ], `${engine}: ${sent}`)
    }
  }
  // A column of decimals is one of JSON's numbers with all its digits, where it has room for them.
  const lines = await server.kith('sql', `
    SELECT TRY_CAST(json_get_text(properties, 'n') AS DECIMAL(38, 9)) AS n FROM clean.events WHERE message_id IN ('large-0', 'small-0', 'beyond-0')
    ORDER BY message_id`, '--json')
  assert.equal(lines, '{"n":null}\n{"n":9007199254740993.000000000}\n{"n":0.100000000}\n')
  assert.deepEqual(outside.numbers.filter(([id]) => id.startsWith('large')), [['large-0', '9007199254740993'], ['large-1', '1']])
})

test('col_8_numbers_are_the_same_to_the_last_digit_in_profiles', { timeout: 60_000 }, async () => {
  for (const [at, [sent, told]] of NUMBERS.entries()) {
    const answer = await profile(`number-${at}`)
    assert.ok(answer.includes(`"traits":{"n":${told}}`), `${sent}: ${answer}`)
    assert.ok(answer.includes(`"properties":{"n":${told},"list":[${told}]}`), `${sent}: ${answer}`)
    assert.ok((await server.kith('profile', 'get', `user_id:number-${at}`, '--json')).includes(`"traits":{"n":${told}}`), sent)
    const asSegments = await text(`/v1/spaces/main/collections/users/profiles/user_id:number-${at}/traits`, basic(server.key))
    assert.equal(numberOf(asSegments, 'n'), told, `${sent}: ${asSegments}`)
    const [row] = outside.duckdb['curated.profiles'].filter(row => row.identifiers.includes(`"number-${at}"`))
    assert.equal(row.traits, `{"n":${told}}`, sent)
  }
})

test('col_8_pro_1_sums_are_exact_where_doubles_would_not_be', { timeout: 60_000 }, async () => {
  for (const { name, sum, largest, approximate = false } of SUMS) {
    const answer = await profile(name)
    assert.deepEqual([numberOf(answer, 'spent'), numberOf(answer, 'largest')], [sum, largest], `${name}: ${answer}`)
    assert.equal(JSON.parse(answer).limits_reached.includes('computed_traits.spent'), approximate, name)
    const [row] = outside.pyiceberg['curated.profiles'].filter(row => row.identifiers.includes(`"${name}"`))
    assert.equal(row.computed, `{"largest":${largest},"spent":${sum}}`, name)
  }
  const { segments } = (await server.get('/api/spaces/main/segments')).body
  const sizes = Object.fromEntries(segments.map(segment => [segment.name, segment.size]))
  assert.deepEqual(sizes, { exactly: 1, nearly: 0, three_tenths: 1 })
})

test('col_8_texts_are_the_same_to_the_last_letter_for_every_reader', { timeout: 60_000 }, async () => {
  const rows = await server.sql(`SELECT user_id, properties, json_get_text(properties, 'n') AS n FROM clean.events WHERE event = 'Said'`)
  for (const [at, [sent, told]] of TEXTS.entries()) {
    const row = rows.find(row => row.user_id === `text-${at}`)
    assert.deepEqual([row.n, JSON.parse(row.properties)], [told, { n: told, list: [told] }], sent)
    assert.equal(JSON.parse(await profile(`text-${at}`)).traits.n, told, sent)
    for (const engine of ['pyiceberg', 'duckdb', 'polars']) {
      const seen = outside[engine]['clean.events'].find(row => row.message_id === `track-text-${at}`)
      assert.equal(seen.properties, row.properties, `${engine}: ${sent}`)
    }
  }
  const odd = [['nul', 'nul', 'Odd', { k: 'v' }], ['nul\u0000id', 'nul\u0000one', 'Odd\u0000name', { 'k\u0000y': 'v' }]]
  const asRows = found => found.filter(row => row.message_id.startsWith('nul'))
    .map(row => [row.message_id, row.user_id, row.event, JSON.parse(row.properties)]).sort(([one], [other]) => (one < other ? -1 : 1))
  assert.deepEqual(asRows(await server.sql('SELECT message_id, user_id, event, properties FROM clean.events')), odd)
  for (const engine of ['pyiceberg', 'duckdb', 'polars']) assert.deepEqual(asRows(outside[engine]['clean.events']), odd, engine)
  for (const [, userId] of odd) {
    const person = JSON.parse(await profile(userId))
    assert.deepEqual(person.identifiers.map(one => one.value), [userId])
    assert.equal(person.recent_events.length, 1)
  }
})

test('col_8_what_cannot_be_carried_is_refused_with_its_reason_and_kept', { timeout: 60_000 }, async () => {
  for (const [at, [properties, code, path]] of REFUSED.entries()) {
    const { status, body } = refusals[at]
    assert.deepEqual([status, body.code, body.rejected.map(one => [one.index, one.code, one.path])], [400, code, [[0, code, path]]], properties)
    assert.ok(body.message.length > 20, body.message)
  }
  const rows = await server.sql('SELECT code, path, original FROM clean.rejects ORDER BY received_at, sequence, event_index')
  assert.deepEqual(rows.map(row => [row.original, row.code, row.path]), REFUSED.map(([properties, code, path]) => [refused(properties), code, path]))
  assert.deepEqual(await server.sql(`SELECT count(*) AS n FROM clean.events WHERE user_id = 'refused'`), [{ n: 0 }])
  // In a batch none of them fails its neighbours.
  const fine = at => `{"type":"track","messageId":"beside-${at}","userId":"beside","event":"Fine"}`
  const batch = REFUSED.filter(([, code]) => code !== 'invalid_json')
  const answer = await post('batch', `{"batch":[${batch.map(([properties], at) => `${fine(at)},${refused(properties)}`)}]}`)
  assert.equal(answer.status, 200)
  assert.deepEqual(answer.body.rejected.map(one => [one.index, one.code]), batch.map(([, code], at) => [2 * at + 1, code]))
  await server.kith('flush')
  assert.deepEqual(await server.sql(`SELECT count(*) AS n FROM clean.events WHERE user_id = 'beside'`), [{ n: batch.length }])
  await server.kith('raw', 'verify')
  await server.kith('rebuild', '--verify')
})
