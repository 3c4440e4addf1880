// Spark and Trino read the tables that a running server wrote, through its own file of pointers, and see what `kith sql` sees: every
// column of every row, older snapshots, and what a filter leaves. Runs alone: `node --test tests/peers/engines.test.mjs`.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { askSpark, startTrino } from './support/engines.mjs'
import { basic, startServer } from './support/server.mjs'

const TABLES = ['clean.events', 'clean.rejects', 'curated.profiles', 'curated.identifiers', 'curated.memberships', 'curated.accounts',
  'curated.account_members', 'curated.membership_changes']
/** Tables that are divided by a bucket of this column. */
const BUCKETS = { 'curated.profiles': 'profile_id', 'curated.identifiers': 'profile_id', 'curated.memberships': 'profile_id',
  'curated.accounts': 'group_id', 'curated.account_members': 'profile_id' }
const DEFINITION = '{ kind: segment, name: buyers, spec: { where: { performed: Order Completed } } }'
// UTF-8 puts the first before the second, and UTF-16, in which Java keeps texts, puts it after.
const [HALFWIDTH, BASKET] = ['\uffee halfwidth', '\u{1f6d2} basket']
// Statistics keep the start of one, so that the greatest of a file is beyond what they keep of it.
const LONG = `${'A name longer than what statistics keep of one, '.repeat(3)}\u{1f6d2}`
/** What each flush holds: its names of events, and when its first event happened. Each makes a file of its own. */
const FLUSHES = [
  { names: ['Product Viewed'], first: '1969-12-31T23:59:59.999900Z' },
  { names: [HALFWIDTH, BASKET], first: '2021-02-28T23:59:59.999950Z' },
  { names: [LONG, 'A lone name'], first: '2024-02-29T12:00:00.000001Z' },
  { names: ['Order Completed'], first: '2026-01-01T00:00:00.123456Z' },
]
const EVENTS = 200
/** When an event of a flush happened: each a microsecond after the one before. */
const instant = (flush, number) => written(micros(FLUSHES[flush].first) + BigInt(number))

/** Filters on clean.events: as a statement has it, a time in braces; what must hold of a row; and how many files can have such rows. */
const FILTERS = [
  [`event = 'Order Completed'`, row => row.event === 'Order Completed', 1],
  [`event = '${HALFWIDTH}'`, row => row.event === HALFWIDTH, 1],
  [`event = '${BASKET}'`, row => row.event === BASKET, 1],
  [`event = '${LONG}'`, row => row.event === LONG, 1],
  [`event = 'Nobody did this'`, () => false],
  [`event > '${HALFWIDTH}'`, row => row.event === BASKET, 1],
  [`event < 'B'`, row => row.event.startsWith('A '), 1],
  [`event LIKE 'Order%'`, row => row.event === 'Order Completed', 1],
  // Trino makes no bounds of that.
  [`event LIKE '\u{1f6d2}%'`, row => row.event === BASKET],
  [`event IN ('A lone name', '${BASKET}')`, row => ['A lone name', BASKET].includes(row.event), 2],
  [`event <> 'Product Viewed'`, row => row.event !== 'Product Viewed'],
  [`event_time < {1970-01-01T00:00:00Z}`, row => row.event_time < 0n, 1],
  [`event_time = {${instant(2, 17)}}`, row => row.event_time === micros(instant(2, 17)), 1],
  [`event_time > {${instant(2, 17)}} AND event_time <= {${instant(2, 19)}}`,
    row => row.event_time > micros(instant(2, 17)) && row.event_time <= micros(instant(2, 19)), 1],
  [`event_time >= {2021-03-01T00:00:00Z}`, row => row.event_time >= micros('2021-03-01T00:00:00Z')],
  [`event_time >= {2021-03-01T00:00:00Z} AND event = '${BASKET}'`,
    row => row.event_time >= micros('2021-03-01T00:00:00Z') && row.event === BASKET, 1],
  [`user_id = 'user-7'`, row => row.user_id === 'user-7'],
  [`locale IS NULL`, row => row.locale === null],
  [`locale = 'de-DE'`, row => row.locale === 'de-DE'],
  [`properties LIKE '%\u2116 9"%'`, row => row.properties?.includes('\u2116 9"')],
  [`event_index >= 90`, row => row.event_index >= 90],
]

let server
let trino
let spark
let first
let own
const afterwards = []
before(async () => {
  const t = { after: task => afterwards.push(task) }
  server = await startServer(t)
  const pointers = join(server.data, 'tables.db')
  const writeKey = await server.source('web')
  await server.apply(DEFINITION)
  for (const flush of FLUSHES.keys()) {
    await fill(writeKey, flush)
    await server.kith('flush')
    // What an older snapshot must show later.
    first ??= { at: new Date(), events: await newest('clean.events'), profiles: await newest('curated.profiles'), own: await everything() }
  }
  own = await everything()
  ;[spark, trino] = await Promise.all([askSpark(pointers, 'main', await questions('spark')), startTrino(t, pointers, 'main')])
})
after(async () => {
  await server?.stop()
  for (const task of afterwards) await task()
})

async function fill(writeKey, flush) {
  const { names } = FLUSHES[flush]
  const track = number => ({
    type: 'track', messageId: `${flush}-${number}`, userId: `user-${(flush * 50 + number) % 130}`, event: names[number % names.length],
    timestamp: instant(flush, number), properties: { total: number / 4, name: `Lamp \u2116 ${number % 10}`, note: number % 7 ? 'fine' : null },
    context: number % 3 ? {} : { locale: 'de-DE', library: { name: 'spark', version: '1' } },
  })
  const batches = [Array.from({ length: EVENTS / 2 }, (_, at) => track(at)), Array.from({ length: EVENTS / 2 }, (_, at) => track(EVENTS / 2 + at))]
  if (flush === 0) {
    batches.push(Array.from({ length: 30 }, (_, at) => ({ type: 'group', userId: `user-${at}`, groupId: `account-${at % 7}`, event: names[0],
      timestamp: instant(0, at), traits: { plan: 'paid', seats: at } })))
  }
  if (flush === 3) batches.push([{ type: 'track', userId: 'user-1' }])
  for (const batch of batches) {
    const response = await fetch(`${server.url}/v1/batch`, {
      method: 'POST', headers: { authorization: basic(writeKey), 'content-type': 'application/json' }, body: JSON.stringify({ batch }),
    })
    assert.equal(response.status, 200, await response.text())
  }
}

async function everything() {
  const found = {}
  for (const table of TABLES) found[table] = await server.sql(`SELECT * FROM ${table}`)
  return found
}

/** The place of a table's current metadata. */
async function newest(table) {
  const folder = join(server.data, 'lake', 'space=main', ...table.split('.'), 'metadata')
  const names = (await readdir(folder)).filter(name => name.endsWith('.metadata.json'))
  return join(folder, names.sort().at(-1))
}

/** The current snapshot of a metadata file, as it is written: no double holds it. */
const snapshotOf = async metadata => /"current-snapshot-id":\s*(\d+)/.exec(await readFile(metadata, 'utf8'))[1]

/** An instant in microseconds since 1970, from how any of them writes one. */
function micros(text) {
  const [, day, time, fraction = ''] = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z| UTC)$/.exec(text)
  return BigInt(Date.parse(`${day}T${time}Z`)) * 1000n + BigInt(fraction.padEnd(6, '0'))
}
/** An instant as an SDK writes it. */
function written(at) {
  const rest = ((at % 1000n) + 1000n) % 1000n
  return `${new Date(Number((at - rest) / 1000n)).toISOString().slice(0, -1)}${String(rest).padStart(3, '0')}Z`
}
const isTime = value => typeof value === 'string' && /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC)$/.test(value)

/** Rows whatever their order: their number, their columns, and a checksum of every value. */
function sum(rows) {
  const columns = rows.length ? Object.keys(rows[0]).sort() : []
  const lines = rows.map(row => JSON.stringify(columns.map(column => isTime(row[column]) ? String(micros(row[column])) : row[column]))).sort()
  return { rows: rows.length, columns, checksum: createHash('sha256').update(lines.join('\n')).digest('hex') }
}

const WRITTEN = {
  spark: { time: at => `TIMESTAMP '${at}'`, meta: (table, what) => `${table}.${what}`, version: id => `VERSION AS OF ${id}`, of: at => `TIMESTAMP AS OF '${at}'` },
  trino: {
    time: at => `TIMESTAMP '${at.replace('T', ' ').replace('Z', ' UTC')}'`, meta: (table, what) => table.replace(/\.(.*)/, `."$1$${what}"`),
    version: id => `FOR VERSION AS OF ${id}`, of: at => `FOR TIMESTAMP AS OF TIMESTAMP '${at.replace('T', ' ').replace('Z', ' UTC')}'`,
  },
  kith: { time: at => `TIMESTAMP '${at}'` },
}
const filtered = (where, engine) => `SELECT * FROM clean.events WHERE ${where.replace(/\{(.*?)\}/g, (_, at) => WRITTEN[engine].time(at))}`

/** Everything that an engine is asked, by name. */
async function questions(engine) {
  const { meta, version, of } = WRITTEN[engine]
  const asked = {}
  for (const table of TABLES) asked[table] = `SELECT * FROM ${table}`
  for (const [where] of FILTERS) asked[where] = filtered(where, engine)
  for (const { profile_id: id } of people()) asked[id] = `SELECT * FROM curated.profiles WHERE profile_id = '${id}'`
  for (const table of ['clean.events', 'curated.profiles']) {
    const old = first[table.split('.')[1]]
    asked[`${table} by version`] = `SELECT * FROM ${table} ${version(await snapshotOf(old))}`
    asked[`${table} by time`] = `SELECT * FROM ${table} ${of(first.at.toISOString())}`
    asked[`${table} snapshots`] = `SELECT count(*) AS n FROM ${meta(table, 'snapshots')}`
    asked[`${table} files`] = `SELECT count(*) AS n, sum(record_count) AS records FROM ${meta(table, 'files')}`
  }
  asked['profiles partitions'] = `SELECT count(*) AS n, sum(record_count) AS records FROM ${meta('curated.profiles', 'partitions')}`
  asked.extremes = 'SELECT count(*) AS n, min(event_time) AS first, max(event_time) AS last, min(event) AS low, max(event) AS high FROM clean.events'
  if (engine === 'spark') {
    for (const table of TABLES) asked[`${table} without a catalog`] = await newest(table)
    for (const [table, column] of Object.entries(BUCKETS)) {
      asked[`${table} buckets`] = `SELECT count(*) AS n, count(DISTINCT _partition) AS buckets,
        sum(CASE WHEN _partition.${column}_bucket = system.bucket(16, ${column}) THEN 1 ELSE 0 END) AS right_ones FROM ${table}`
    }
    const kept = column => `min(readable_metrics.${column}.lower_bound) AS ${column}_low, max(readable_metrics.${column}.upper_bound) AS ${column}_high`
    asked.bounds = `SELECT ${['event', 'event_time', 'user_id', 'properties'].map(kept).join(', ')} FROM clean.events.files`
  }
  return asked
}

/** Some people, of several buckets. */
const people = () => own['curated.profiles'].filter((_, at) => at % 20 === 0)

/** When the first and the last event happened. */
function ends() {
  const times = own['clean.events'].map(({ event_time: time }) => micros(time)).sort((one, other) => (one < other ? -1 : 1))
  return [times[0], times.at(-1)]
}

/** What an engine answered. */
async function answer(engine, name) {
  if (engine === 'spark') return spark[name]
  return trino((await questions(engine))[name])
}

for (const engine of ['spark', 'trino']) {
  for (const table of TABLES) {
    test(`lak_1_${engine}_reads_${table.replace('.', '_')}_as_kith_sql_does`, { timeout: 60_000 }, async () => {
      assert.ok(own[table].length > 0, 'there is something to read')
      assert.deepEqual(sum((await answer(engine, table)).rows), sum(own[table]))
    })
  }

  test(`lak_1_${engine}_reads_older_snapshots`, { timeout: 60_000 }, async () => {
    for (const table of ['clean.events', 'curated.profiles']) {
      assert.notDeepEqual(sum(first.own[table]), sum(own[table]), `${table} has changed since`)
      for (const how of ['version', 'time']) {
        assert.deepEqual(sum((await answer(engine, `${table} by ${how}`)).rows), sum(first.own[table]), `${table} by ${how}`)
      }
    }
  })

  test(`lak_1_${engine}_filters_by_statistics_and_loses_no_row`, { timeout: 60_000 }, async () => {
    const rows = own['clean.events'].map(row => ({ row, read: { ...row, event_time: micros(row.event_time) } }))
    for (const [where, holds, files] of FILTERS) {
      // Not by our statistics: by looking at every row.
      const expected = sum(rows.filter(({ read }) => holds(read)).map(({ row }) => row))
      const found = await answer(engine, where)
      assert.deepEqual(sum(await server.sql(filtered(where, 'kith'))), expected, `kith sql: ${where}`)
      assert.deepEqual(sum(found.rows), expected, where)
      if (!files) continue
      assert.ok(expected.rows > 0, `${where} finds something`)
      if (engine === 'spark') assert.equal(found.files.read, files, `${where}: other files are left out`)
      else assert.ok(found.looked_at > 0 && found.looked_at <= files * (EVENTS + 30), `${where}: ${found.looked_at} rows were looked at`)
    }
  })

  test(`lak_1_${engine}_finds_a_person_by_their_bucket`, { timeout: 60_000 }, async () => {
    for (const person of people()) {
      const found = await answer(engine, person.profile_id)
      assert.deepEqual(sum(found.rows), sum([person]))
      if (engine === 'spark') assert.equal(found.files.read, 1, 'other buckets are left out')
    }
  })

  test(`lak_1_${engine}_reads_the_tables_of_metadata`, { timeout: 60_000 }, async () => {
    const of = async name => (await answer(engine, name)).rows[0]
    for (const table of ['clean.events', 'curated.profiles']) {
      const { snapshots } = JSON.parse(await readFile(await newest(table), 'utf8'))
      assert.equal((await of(`${table} snapshots`)).n, snapshots.length)
      const { n, records } = await of(`${table} files`)
      assert.equal(records, own[table].length)
      if (table === 'clean.events') assert.equal(n, FLUSHES.length, 'each flush made a file')
    }
    const { n, records } = await of('profiles partitions')
    assert.deepEqual([n, records], [16, own['curated.profiles'].length])
    const { first: earliest, last, ...rest } = await of('extremes')
    assert.deepEqual([earliest, last].map(micros), ends(), 'to the microsecond')
    assert.deepEqual(rest, { n: own['clean.events'].length, low: 'A lone name', high: BASKET })
  })
}

test('lak_1_spark_reads_every_table_without_a_catalog', { timeout: 60_000 }, async () => {
  for (const table of TABLES) assert.deepEqual(sum(spark[`${table} without a catalog`].rows), sum(own[table]), table)
})

test('lak_1_spark_finds_every_row_in_the_bucket_that_iceberg_gives_it', { timeout: 60_000 }, async () => {
  for (const table of Object.keys(BUCKETS)) {
    const [{ n, buckets, right_ones: right }] = spark[`${table} buckets`].rows
    assert.deepEqual([n, right], [own[table].length, own[table].length], table)
    assert.ok(buckets > 1, table)
  }
})

test('lak_1_spark_reads_bounds_of_what_is_not_personal', { timeout: 60_000 }, async () => {
  const [bounds] = spark.bounds.rows
  assert.deepEqual([bounds.event_low, bounds.event_high], ['A lone name', BASKET])
  assert.deepEqual([bounds.event_time_low, bounds.event_time_high].map(micros), ends())
  for (const column of ['user_id', 'properties']) assert.deepEqual([bounds[`${column}_low`], bounds[`${column}_high`]], [null, null], column)
})
