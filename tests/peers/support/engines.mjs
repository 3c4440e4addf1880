// Engines that run on Java and read our tables from outside: Spark, one process for all questions, and a Trino server on a free
// port of loopback. Both open the file of pointers to read alone. Works with parts.mjs.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cacheFile, folder, freePort, root, runForJson, startProcess, until } from './parts.mjs'

const engineFile = name => join(root, 'tests/peers/engines', name)

/** Puts statements to Spark: `{ name: statement }`. Gives `{ name: { rows, files } }`. */
export function askSpark(pointers, space, statements) {
  const home = cacheFile('spark')
  assert.ok(existsSync(join(home, '.done')), 'Spark is missing (tests/peers/install all)')
  const env = {
    // Spark looks for `bin/java` in there, and for no other.
    JAVA_HOME: home, PYSPARK_PYTHON: join(home, 'venv/bin/python'), SPARK_LOCAL_IP: '127.0.0.1', TZ: 'UTC',
  }
  const program = join(home, 'venv/bin/python')
  const args = [engineFile('spark_sql.py'), pointers, space, join(home, 'lib')]
  return runForJson(program, args, { env, input: JSON.stringify(statements), timeout: 180_000 })
}

/** Starts Trino with one catalog, `kith`, over a space's tables. Gives what puts a statement to it; it ends after the test. */
export async function startTrino(t, pointers, space) {
  const installed = cacheFile('trino')
  assert.ok(existsSync(join(installed, '.done')), 'Trino is missing (tests/peers/install all)')
  let child
  t.after(() => child?.kill('SIGKILL'))
  const home = await folder(t, 'kith-trino-')
  const port = await freePort()
  await settings(join(home, 'config.properties'), {
    'node.id': 'one', 'node.environment': 'test', 'node.bind-ip': '127.0.0.1', 'node.internal-address': '127.0.0.1',
    'http-server.http.port': port, 'discovery.uri': `http://127.0.0.1:${port}`,
    'coordinator': true, 'node-scheduler.include-coordinator': true,
    'plugin.dir': join(installed, 'plugin'), 'catalog.config-dir': join(home, 'catalog'),
    'query.max-memory-per-node': '200MB', 'memory.heap-headroom-per-node': '200MB',
  })
  await settings(join(home, 'catalog/kith.properties'), {
    'connector.name': 'iceberg', 'iceberg.catalog.type': 'jdbc', 'iceberg.jdbc-catalog.catalog-name': space,
    'iceberg.jdbc-catalog.driver-class': 'org.sqlite.JDBC',
    'iceberg.jdbc-catalog.connection-url': `jdbc:sqlite:file:${pointers}?mode=ro`,
    'iceberg.jdbc-catalog.default-warehouse-dir': `file://${dirname(pointers)}/lake`,
    'fs.local.enabled': true, 'local.location': '/',
  })
  const args = ['-Xmx1g', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Dconfig=${join(home, 'config.properties')}`, '--add-modules=jdk.incubator.vector',
    '--enable-native-access=ALL-UNNAMED', '--sun-misc-unsafe-memory-access=allow', '-cp', join(installed, 'lib/*'), engineFile('Trino.java')]
  child = startProcess(join(installed, 'bin/java'), args, { cwd: home, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  let end
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (said = (said + text).slice(-20_000)))
  child.once('exit', code => (end = { code }))
  try {
    await until('Trino to be ready', () => end || said.includes('SERVER STARTED'), { within: 90_000 })
    assert.equal(end, undefined, 'Trino ended')
  } catch (error) {
    throw new Error(`${error.message}\n${said}`, { cause: error })
  }
  return statement => askTrino(`http://127.0.0.1:${port}`, statement)
}

async function settings(file, values) {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, Object.entries(values).map(([key, value]) => `${key}=${value}\n`).join(''))
}

/** Gives the rows, and how many rows of tables were looked at for them. */
async function askTrino(url, statement) {
  // Without a client that says it knows them, times come without their microseconds.
  const headers = { 'x-trino-user': 'kith', 'x-trino-catalog': 'kith', 'x-trino-client-capabilities': 'PARAMETRIC_DATETIME' }
  let response = await fetch(`${url}/v1/statement`, { method: 'POST', headers, body: statement, signal: AbortSignal.timeout(60_000) })
  const rows = []
  for (;;) {
    assert.equal(response.status, 200, `${statement}: ${await (response.status === 200 ? '' : response.text())}`)
    const { columns, data = [], error, nextUri, stats } = await response.json()
    assert.equal(error, undefined, `${statement}: ${error?.message}`)
    for (const row of data) rows.push(Object.fromEntries(columns.map(({ name }, at) => [name, row[at]])))
    // Each answer waits for the next one by itself.
    if (!nextUri) return { rows, looked_at: stats.processedRows }
    response = await fetch(nextUri, { headers, signal: AbortSignal.timeout(60_000) })
  }
}
