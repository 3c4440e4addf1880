// Commands as people run them: an import that is cut off and run again, the live tail, the administrator's first key.
// Runs alone: `node --test tests/peers/commands.test.mjs`.
import assert from 'node:assert/strict'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { kithBinary, startProcess, until } from './support/parts.mjs'
import { basic, startServer } from './support/server.mjs'

const ROWS = 20_000
/** Every hundredth row is the same as the one before it: two equal rows are two events. */
const row = at => `c${(at - (at % 100 === 99 ? 1 : 0)) % 700},${at - (at % 100 === 99 ? 1 : 0)},2024-03-01T12:00:00Z`
const MAPPING = `
event: Order Completed
timestamp: { column: at }
identifiers: { user_id: { column: customer } }
properties: { total: { column: amount, as: number } }
`

/**
 * A way to a server that hands on so many imported batches and keeps the answer to the last of them: the server has taken
 * it, and whoever sent it has not heard. `taken` gives the answer's status then; whoever waits for it says whether it goes on
 * to whoever sent the batch or is lost.
 */
async function holdingAnswer(t, port, batches) {
  let seen = 0
  let hold
  const taken = new Promise(done => (hold = done))
  const way = createServer((asked, answer) => {
    const last = asked.method === 'POST' && ++seen === batches
    const passed = request({ port, host: '127.0.0.1', path: asked.url, method: asked.method, headers: asked.headers }, given => {
      if (last) {
        given.resume().on('end', () => hold({ status: given.statusCode, lose: () => answer.destroy() }))
        return
      }
      answer.writeHead(given.statusCode, given.headers)
      given.pipe(answer)
    })
    passed.on('error', () => answer.destroy())
    asked.pipe(passed)
  })
  await new Promise(done => way.listen(0, '127.0.0.1', done))
  t.after(() => { way.closeAllConnections(); way.close() })
  return { url: `http://127.0.0.1:${way.address().port}`, taken, batches: () => seen }
}

/** Starts an import through a way; gives its process and its end. */
function importing(way, server, args) {
  const env = { ...process.env, KITH_URL: way.url, KITH_KEY: server.key }
  const child = startProcess(kithBinary, args, { env, stdio: 'ignore' })
  return { child, ended: new Promise(done => child.once('exit', (code, signal) => done({ code, signal }))) }
}

/** A server with a source, a file of rows for it, and how many of them have become events. */
async function shopWithHistory(t) {
  const server = await startServer(t)
  await server.source('shop')
  const rows = Array.from({ length: ROWS }, (_, at) => row(at))
  const file = join(server.home, 'orders.csv')
  const map = join(server.home, 'orders.yaml')
  await writeFile(file, `customer,amount,at\n${rows.join('\n')}\n`)
  await writeFile(map, MAPPING)
  const count = async () => (await server.sql(`
    SELECT count(*) AS n, count(DISTINCT event_key) AS keys FROM clean.events WHERE source = 'shop'`))[0]
  return { server, rows, args: ['import', file, '--source', 'shop', '--map', map], count }
}

test('con_2_an_import_that_is_killed_midway_and_run_again_loses_nothing_and_doubles_nothing', { timeout: 240_000 }, async t => {
  const { server, rows, args, count } = await shopWithHistory(t)
  const way = await holdingAnswer(t, server.port, 3)
  const cut = importing(way, server, args)
  assert.equal((await Promise.race([way.taken, cut.ended])).status, 200, 'the server took the last batch')
  cut.child.kill('SIGKILL')
  assert.equal((await cut.ended).signal, 'SIGKILL')
  await server.kith('flush')
  const half = await count()
  assert.ok(half.n > 0 && half.n < ROWS, `${half.n} of ${ROWS} events after the import was cut off`)
  assert.equal(half.keys, half.n)

  await server.kith(...args)
  await server.kith('flush')
  assert.deepEqual(await count(), { n: ROWS, keys: ROWS })
  const found = await server.sql(`SELECT user_id AS who, properties AS bought FROM clean.events WHERE source = 'shop'`)
  const bought = found.map(({ who, bought }) => `${who},${JSON.parse(bought).total},2024-03-01T12:00:00Z`)
  assert.deepEqual(bought.sort(), rows.sort())
  assert.equal((await server.sql('SELECT count(*) AS n FROM clean.rejects'))[0].n, 0)
  await server.stop()
})

test('con_2_an_import_goes_on_over_a_kill_of_the_server_and_each_row_is_there_once', { timeout: 240_000 }, async t => {
  const { server, args, count } = await shopWithHistory(t)
  const way = await holdingAnswer(t, server.port, 3)
  const going = importing(way, server, args)
  const held = await Promise.race([way.taken, going.ended])
  assert.equal(held.status, 200, 'the server took a batch')
  // What it took is durable, and whoever sent it has to send it again.
  await server.kill()
  held.lose()
  await until('the import to try again while nobody is there', () => way.batches() > 4)
  await server.start()
  assert.deepEqual(await going.ended, { code: 0, signal: null })
  await server.kith('flush')
  assert.deepEqual(await count(), { n: ROWS, keys: ROWS })
  assert.equal((await server.sql('SELECT count(*) AS n FROM clean.rejects'))[0].n, 0)
  await server.stop()
})

/** Starts a command that goes on, and what it has printed so far. */
function following(server, args) {
  const env = { ...process.env, KITH_URL: server.url, KITH_KEY: server.key }
  const child = startProcess(kithBinary, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { out: '', err: '', child }
  child.stdout.on('data', text => (said.out += text))
  child.stderr.on('data', text => (said.err += text))
  return said
}

test('the_tail_prints_an_event_and_a_reject_as_they_happen', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  const json = following(server, ['tail', '--json'])
  const plain = following(server, ['tail'])
  for (const tail of [json, plain]) await until('the tail to follow', () => tail.err.includes('following space main'))
  await server.send(writeKey, 'track', { userId: 'ada', event: 'Cart Viewed' })
  const response = await fetch(`${server.url}/v1/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: basic(writeKey) },
    body: JSON.stringify({ batch: [{ type: 'track', userId: 'ada', messageId: 'no-name' }] }),
  })
  assert.equal(response.status, 200)
  const items = () => json.out.split('\n').slice(0, -1).map(line => JSON.parse(line))
  const event = await until('the event', () => items().find(item => item.kind === 'event'))
  assert.match(JSON.stringify(event.body), /Cart Viewed/)
  const reject = await until('the reject', () => items().find(item => item.kind === 'reject'))
  const [stored] = await until('the reject in its table', async () => {
    await server.kith('flush')
    const rows = await server.sql('SELECT code FROM clean.rejects')
    return rows.length ? rows : undefined
  })
  assert.ok(JSON.stringify(reject.body).includes(stored.code), 'the tail names the reason that is kept')
  await until('both as text', () => plain.out.includes('Cart Viewed') && plain.out.includes(stored.code))
  for (const { child } of [json, plain]) child.kill('SIGINT')
  await server.stop()
})

test('the_admin_key_is_printed_at_the_first_start_alone_and_kept_nowhere_in_clear', { timeout: 120_000 }, async t => {
  const server = await startServer(t, { env: { KITH_ADMIN_KEY: '' } })
  const printed = async () => [...(await readFile(join(server.home, 'server.log'), 'utf8')).matchAll(/KITH_KEY=(\S+)/g)].map(found => found[1])
  const [key, ...more] = await until('the key', async () => (await printed()).length ? printed() : undefined)
  assert.deepEqual(more, [])
  const asked = given => server.get('/api/spaces/main/segments', { key: given })
  assert.equal((await asked(key)).status, 200)
  assert.equal((await asked(`${key}x`)).status, 401)
  await server.kill()
  await server.start()
  await server.stop()
  await server.start()
  assert.equal((await asked(key)).status, 200, 'the key stays good')
  await server.stop()
  assert.deepEqual(await printed(), [key], 'three starts, one key')
  const entries = await readdir(server.data, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  assert.ok(files.length > 3)
  for (const file of files) assert.ok(!(await readFile(file)).includes(key), `${file} holds the key`)
})
