// Figures of a running server, as Prometheus scrapes them: what every stage did and how far behind it is.
// Runs alone: `node --test tests/peers/metrics.test.mjs`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from './support/parts.mjs'
import { startServer } from './support/server.mjs'

/** Every series with its figure. */
async function figures(server) {
  const { status, body } = await server.get('/metrics')
  assert.equal(status, 200)
  const lines = body.split('\n').filter(line => line && !line.startsWith('#'))
  return Object.fromEntries(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
}

test('ops_1_every_stage_counts_what_it_did_and_tells_how_far_behind_it_is', { timeout: 120_000 }, async t => {
  const server = await startServer(t)
  const writeKey = await server.source('web')
  await server.apply(`
kind: segment
name: lately
spec: { where: { performed: { event: Seen, within: { last: 1s } } } }
`)
  const seen = more => server.send(writeKey, 'track', { event: 'Seen', ...more })
  await seen({ anonymousId: 'phone' })
  await seen({ userId: 'ada' })
  // Two people turn out to be one.
  await seen({ anonymousId: 'phone', userId: 'ada' })
  await server.personWhen('user_id:ada', person => person.segments.every(segment => segment.name !== 'lately'))
  // Raw takes a segment once it is sealed: until then it is behind, by the age of what waits.
  const waiting = await until('raw to be behind', async () => {
    const found = await figures(server)
    return found['kith_stage_lag_records{stage="raw"}'] > 0 && found['kith_stage_lag_milliseconds{stage="raw"}'] > 0 && found
  })
  assert.ok(waiting['kith_log_bytes_on_disk'] > 0)
  await server.kith('flush')
  await server.sql('SELECT count(*) FROM clean.events')
  assert.notEqual((await server.attempt(['sql', 'SELECT nothing FROM nowhere'])).code, 0)

  // Figures of stages are set every second.
  const found = await until('the figures to follow', async () => {
    const now = await figures(server)
    return now['kith_stage_lag_records{stage="raw"}'] === 0 && now
  })
  for (const stage of ['pipeline', 'lake', 'raw']) {
    assert.equal(found[`kith_stage_lag_records{stage="${stage}"}`], 0, stage)
    assert.equal(found[`kith_stage_lag_milliseconds{stage="${stage}"}`], 0, stage)
  }
  for (const [series, least] of [
    ['kith_log_records_total', 3], ['kith_log_bytes_total', 300], ['kith_log_syncs_total{outcome="durable"}', 3],
    ['kith_log_sync_seconds_count', 3], ['kith_log_segments_sealed_total', 1],
    ['kith_raw_objects_total', 1], ['kith_pipeline_steps_total', 1], ['kith_pipeline_commit_seconds_count', 1],
    ['kith_pipeline_timers_fired_total', 1], ['kith_identity_recomputations_total', 1],
    ['kith_profile_cache_total{outcome="hit"}', 1], ['kith_profiles_in_memory', 1], ['kith_profiles', 1],
    ['kith_segment_changes_total{change="entered"}', 1], ['kith_segment_changes_total{change="exited"}', 1],
    ['kith_membership_seconds_count', 1], ['kith_timer_seconds_count', 1],
    ['kith_lake_commits_total{outcome="committed"}', 1], ['kith_lake_rows_total', 3], ['kith_lake_bytes_total', 300],
    ['kith_lake_commit_seconds_count', 1], ['kith_sql_queries_total', 2], ['kith_sql_failures_total', 1], ['kith_sql_seconds_count', 2],
  ]) assert.ok(found[series] >= least, `${series} is ${found[series]}, and at least ${least} was to be expected`)
  for (const series of ['kith_log_syncs_total{outcome="failed"}', 'kith_pipeline_step_failures_total', 'kith_timers_pending']) {
    assert.equal(found[series], 0, series)
  }
  await server.stop()
})
