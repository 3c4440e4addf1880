//! A calendar of its own for the oracle: when zones change their clocks, by the laws they follow, and from that, in SQL,
//! when hours, days, weeks, months, quarters and years begin. It asks no time zone database.

use rusqlite::Connection;

/// Zones that the worlds use: their names, their offset in winter, and how they change.
pub(crate) const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Berlin",
    "America/Havana",
    "Asia/Kathmandu",
    "America/New_York",
];

/// The years for which the tables are made. Worlds with calendars stay within them.
const YEARS: std::ops::RangeInclusive<i64> = 2022..=2026;

/// Fills `offsets(zone, starts, ends, seconds)`, in seconds since 1970.
///
/// Berlin changes at 01:00 UTC on the last Sundays of March and October. New York changes at 02:00 of its own clocks on the
/// second Sunday of March and the first of November; Havana on the same days, at 00:00 and at 01:00, so that a midnight
/// is skipped in spring and comes twice in autumn. Kathmandu never changes.
fn offsets(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!(
        "CREATE TABLE years AS WITH RECURSIVE y(year) AS (SELECT {} UNION ALL SELECT year + 1 FROM y WHERE year < {}) SELECT year FROM y;
         CREATE TABLE changes(zone, starts, seconds);
         INSERT INTO changes VALUES ('UTC', -1e15, 0), ('Asia/Kathmandu', -1e15, 20700), ('Europe/Berlin', -1e15, 3600),
             ('America/Havana', -1e15, -18000), ('America/New_York', -1e15, -18000);
         INSERT INTO changes SELECT 'Europe/Berlin', unixepoch(year || '-03-25', 'weekday 0', '+1 hours'), 7200 FROM years;
         INSERT INTO changes SELECT 'Europe/Berlin', unixepoch(year || '-10-25', 'weekday 0', '+1 hours'), 3600 FROM years;
         INSERT INTO changes SELECT 'America/New_York', unixepoch(year || '-03-08', 'weekday 0', '+7 hours'), -14400 FROM years;
         INSERT INTO changes SELECT 'America/New_York', unixepoch(year || '-11-01', 'weekday 0', '+6 hours'), -18000 FROM years;
         INSERT INTO changes SELECT 'America/Havana', unixepoch(year || '-03-08', 'weekday 0', '+5 hours'), -14400 FROM years;
         INSERT INTO changes SELECT 'America/Havana', unixepoch(year || '-11-01', 'weekday 0', '+5 hours'), -18000 FROM years;
         CREATE TABLE offsets AS SELECT zone, CAST(starts AS INTEGER) AS starts,
             CAST(lead(starts, 1, 1e15) OVER (PARTITION BY zone ORDER BY starts) AS INTEGER) AS ends, seconds FROM changes;",
        YEARS.start(),
        YEARS.end()
    ))
}

/// Fills `period(zone, unit, no, starts)`, `starts` in microseconds, numbered without gaps; hours only of the months in which
/// worlds with calendars lie.
pub(crate) fn fill(db: &Connection) -> rusqlite::Result<()> {
    offsets(db)?;
    // A day begins at the first instant at which the clocks show its date.
    db.execute_batch(&format!(
        "CREATE TABLE dates AS WITH RECURSIVE d(date) AS (SELECT '{}-01-01' UNION ALL SELECT date(date, '+1 day') FROM d WHERE date < '{}-12-31') SELECT date FROM d;
         CREATE TABLE days AS SELECT zone, date, min(starts) AS starts FROM (
             SELECT zone, date, max(starts, unixepoch(date) - seconds) AS starts, ends, seconds FROM offsets JOIN dates)
           WHERE starts < ends AND date(starts + seconds, 'unixepoch') = date GROUP BY zone, date;
         CREATE TABLE begins(zone, unit, starts);
         INSERT INTO begins SELECT zone, 'day', starts FROM days;
         INSERT INTO begins SELECT zone, 'week', starts FROM days WHERE strftime('%u', date) = '1';
         INSERT INTO begins SELECT zone, 'month', starts FROM days WHERE substr(date, 9) = '01';
         INSERT INTO begins SELECT zone, 'quarter', starts FROM days WHERE substr(date, 6) IN ('01-01', '04-01', '07-01', '10-01');
         INSERT INTO begins SELECT zone, 'year', starts FROM days WHERE substr(date, 6) = '01-01';
         WITH RECURSIVE h(zone, starts, ends) AS (
             SELECT zone, starts, lead(starts) OVER (PARTITION BY zone ORDER BY starts) FROM days
             UNION ALL SELECT zone, starts + 3600, ends FROM h WHERE starts + 3600 < ends)
           INSERT INTO begins SELECT zone, 'hour', starts FROM h
             WHERE starts BETWEEN unixepoch('2023-10-01') AND unixepoch('2025-04-01');
         CREATE TABLE period AS SELECT zone, unit, starts * 1000000 AS starts,
             row_number() OVER (PARTITION BY zone, unit ORDER BY starts) AS no FROM begins;
         CREATE INDEX period_starts ON period(zone, unit, starts, no);
         CREATE INDEX period_no ON period(zone, unit, no, starts);",
        YEARS.start(),
        YEARS.end()
    ))
}
