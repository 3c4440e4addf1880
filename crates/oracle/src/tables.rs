//! The rows that are asked: those of `clean.events`, who was whose at which time, and what SQLite has no types for: exact
//! numbers, as texts that sort as the numbers do; places, as points of a sphere; the draws of buckets.

use crate::ask::Ask;
use crate::documents::InForce;
use crate::{Delays, Members, calendar, survivors};
use rusqlite::{Connection, OpenFlags, params};
use std::collections::{BTreeMap, BTreeSet};

/// The tables of one world after another; the calendar is made once.
pub struct Tables {
    pub(crate) db: Connection,
}

/// A row of `clean.events`. Times are microseconds, objects JSON text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are those of the table")]
pub struct EventRow {
    pub received: i64,
    pub time: i64,
    pub sequence: i64,
    pub index: i64,
    pub event_type: String,
    pub name: String,
    pub source: String,
    pub properties: String,
    pub context: String,
    pub traits: String,
    pub group_id: Option<String>,
}

/// Who was whose after a record. People go by the 32 hexadecimal digits of their ids.
#[derive(Clone, Debug, Default)]
pub struct Epoch {
    /// The instant from which on it holds, until that of the next.
    pub starts: i64,
    /// How many events there were.
    pub events: usize,
    /// Which definitions were in force, by their place in the list that is asked with.
    pub in_force: usize,
    /// Events by their place among all, and whose they were.
    pub whose: Vec<(usize, String)>,
    /// Everybody.
    pub people: Vec<String>,
    /// People and their identifiers, as `type:value`.
    pub named: Vec<(String, String)>,
}

const SCHEMA: &str = "
CREATE TABLE event(id INTEGER PRIMARY KEY, received INTEGER, time INTEGER, sequence INTEGER, indexed INTEGER, type TEXT,
    name TEXT, source TEXT, properties TEXT, context TEXT, traits TEXT, account TEXT, place INTEGER);
CREATE TABLE epoch(no INTEGER PRIMARY KEY, starts INTEGER, events INTEGER, in_force INTEGER);
CREATE TABLE belongs(epoch INTEGER, profile TEXT, account TEXT);
CREATE INDEX belongs_by ON belongs(epoch, profile);
CREATE TABLE whose(epoch INTEGER, event INTEGER, profile TEXT);
CREATE TABLE person(epoch INTEGER, profile TEXT);
CREATE TABLE named(epoch INTEGER, profile TEXT, identifier TEXT);
CREATE TABLE number(text TEXT PRIMARY KEY, key TEXT, l3 INTEGER, l2 INTEGER, l1 INTEGER, l0 INTEGER);
CREATE TABLE spot(text TEXT PRIMARY KEY, x REAL, y REAL, z REAL);
CREATE TABLE drawn(salt TEXT, profile TEXT, place INTEGER);
CREATE TABLE moment(now INTEGER PRIMARY KEY);
CREATE TABLE seen(epoch INTEGER, profile TEXT, event INTEGER, time INTEGER, place INTEGER, type TEXT, properties TEXT,
    context TEXT, traits TEXT, received INTEGER, source TEXT);
CREATE INDEX seen_by ON seen(epoch, profile);
CREATE TABLE said(epoch INTEGER, of TEXT, name TEXT, doc TEXT, source TEXT, place INTEGER);
CREATE TABLE said_of_account(epoch INTEGER, of TEXT, name TEXT, doc TEXT, source TEXT, place INTEGER);
CREATE TABLE known(epoch INTEGER, of TEXT, name TEXT, doc TEXT);
CREATE INDEX known_by ON known(epoch, of, name);
CREATE TABLE told(epoch INTEGER, of TEXT, name TEXT, doc TEXT);
CREATE INDEX told_by ON told(epoch, of, name);
CREATE TABLE allowed(epoch INTEGER, profile TEXT, category TEXT, granted INTEGER);
CREATE TABLE passes(leaf INTEGER, event INTEGER, v TEXT, currency TEXT, PRIMARY KEY (leaf, event)) WITHOUT ROWID;
CREATE TABLE done(leaf INTEGER, epoch INTEGER, profile TEXT, at INTEGER);
CREATE INDEX done_by ON done(leaf, epoch, profile);
CREATE TABLE asked(now INTEGER, epoch INTEGER, profile TEXT);
";

const EMPTY: &str = "DELETE FROM event; DELETE FROM epoch; DELETE FROM whose; DELETE FROM person; DELETE FROM named;
DELETE FROM number; DELETE FROM spot; DELETE FROM drawn; DELETE FROM moment; DELETE FROM seen; DELETE FROM said;
DELETE FROM said_of_account; DELETE FROM known; DELETE FROM told; DELETE FROM allowed; DELETE FROM belongs; DELETE FROM passes;
DELETE FROM done; DELETE FROM asked;";

/// What follows from the rows for every leaf: the place of each event in the order of time and log, the events of each person at
/// each epoch, all that was said of their traits, the answers that hold (the latest, none later than its receipt; of two at
/// one instant the restrictive one), the accounts of each person, and all that has been said of each account, by whomever.
const DERIVED: &str = "
UPDATE event SET place = o.place FROM (SELECT id, row_number() OVER (ORDER BY time, sequence, indexed) AS place FROM event) o
    WHERE o.id = event.id;
INSERT INTO seen SELECT w.epoch, w.profile, e.id, e.time, e.place, e.type, e.properties, e.context, e.traits, e.received, e.source
    FROM whose w JOIN event e ON e.id = w.event;
INSERT INTO said SELECT s.epoch, s.profile, j.key, s.traits -> j.fullkey, s.source, s.place FROM seen s, json_each(s.traits) j
    WHERE s.type <> 'group' AND j.type <> 'null' AND NOT (j.type = 'text' AND trim(j.atom) = '');
INSERT INTO belongs SELECT DISTINCT w.epoch, w.profile, e.account FROM whose w JOIN event e ON e.id = w.event
    WHERE e.account IS NOT NULL;
INSERT INTO said_of_account SELECT o.no, e.account, j.key, e.traits -> j.fullkey, e.source, e.place
    FROM epoch o JOIN event e ON e.id < o.events AND e.type = 'group', json_each(e.traits) j
    WHERE e.account IS NOT NULL AND j.type <> 'null' AND NOT (j.type = 'text' AND trim(j.atom) = '');
INSERT INTO allowed SELECT epoch, profile, category, granted FROM (
    SELECT s.epoch, s.profile, j.key AS category, j.type = 'true' AS granted,
        row_number() OVER (PARTITION BY s.epoch, s.profile, j.key ORDER BY min(s.time, s.received) DESC, j.type = 'true') AS n
    FROM seen s, json_each(s.context -> '$.consent.categoryPreferences') j WHERE j.type IN ('true', 'false')) WHERE n = 1;
";

const INTO_EVENT: &str = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)";

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl Tables {
    /// Empty tables.
    #[must_use]
    pub fn new() -> Self {
        // One thread asks, and nothing is to outlive it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_in_memory_with_flags(flags).unwrap();
        db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA temp_store = MEMORY;")
            .unwrap();
        calendar::fill(&db).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        Self { db }
    }

    /// Empties the tables and takes in events, in the order of the log.
    pub fn fill(&self, events: &[EventRow]) {
        self.db.execute_batch("BEGIN").unwrap();
        self.db.execute_batch(EMPTY).unwrap();
        let mut row = self.db.prepare_cached(INTO_EVENT).unwrap();
        for (id, event) in events.iter().enumerate() {
            row.execute(params![
                id as i64,
                event.received,
                event.time,
                event.sequence,
                event.index,
                event.event_type,
                event.name,
                event.source,
                event.properties,
                event.context,
                event.traits,
                event.group_id,
            ])
            .unwrap();
        }
        for column in ["properties", "context", "traits"] {
            self.note_numbers(column);
            self.note_places(column);
        }
        self.db.execute_batch("COMMIT").unwrap();
    }

    /// Takes in who was whose.
    pub fn fill_epochs(&self, epochs: &[Epoch], delays: &Delays) {
        self.db.execute_batch("BEGIN").unwrap();
        let prepare = |sql| self.db.prepare_cached(sql).unwrap();
        let mut epoch_row = prepare("INSERT INTO epoch VALUES (?, ?, ?, ?)");
        let mut whose = prepare("INSERT INTO whose VALUES (?, ?, ?)");
        let mut person = prepare("INSERT INTO person VALUES (?, ?)");
        let mut named = prepare("INSERT INTO named VALUES (?, ?, ?)");
        let mut drawn = prepare("INSERT INTO drawn VALUES (?, ?, ?)");
        let mut everybody = BTreeSet::new();
        for (no, epoch) in epochs.iter().enumerate() {
            let no = no as i64;
            epoch_row
                .execute(params![no, epoch.starts, epoch.events as i64, epoch.in_force as i64])
                .unwrap();
            for (event, profile) in &epoch.whose {
                whose.execute(params![no, *event as i64, profile]).unwrap();
            }
            for profile in &epoch.people {
                person.execute(params![no, profile]).unwrap();
            }
            for (profile, identifier) in &epoch.named {
                named.execute(params![no, profile, identifier]).unwrap();
            }
            everybody.extend(&epoch.people);
        }
        for salt in &delays.salts {
            for profile in &everybody {
                drawn.execute(params![salt, profile, draw(salt, profile)]).unwrap();
            }
        }
        self.db.execute_batch(DERIVED).unwrap();
        self.db.execute_batch("COMMIT").unwrap();
    }

    /// Who is in which segment at each instant: of the epoch that holds then, under the definitions that are in force in it.
    #[must_use]
    pub fn members(&self, all: &[InForce], instants: &BTreeSet<i64>) -> BTreeMap<i64, Members> {
        let mut row = self
            .db
            .prepare_cached("INSERT OR IGNORE INTO moment VALUES (?)")
            .unwrap();
        self.db.execute_batch("BEGIN").unwrap();
        for at in instants {
            row.execute([at]).unwrap();
        }
        let mut found: BTreeMap<i64, Members> = instants.iter().map(|at| (*at, Members::new())).collect();
        for (number, in_force) in all.iter().enumerate() {
            if in_force.segments.is_empty() {
                continue;
            }
            // Of records at one instant the last one speaks.
            self.run(&format!(
                "DELETE FROM asked; DELETE FROM known; DELETE FROM told;
                 INSERT INTO asked SELECT m.now, p.epoch, p.profile FROM moment m JOIN person p
                   ON p.epoch = (SELECT max(no) FROM epoch WHERE starts <= m.now)
                 WHERE p.epoch IN (SELECT no FROM epoch WHERE in_force = {number})"
            ));
            for (into, from) in [("known", "said"), ("told", "said_of_account")] {
                for statement in survivors::statements(&in_force.trait_rules, into, from, number) {
                    self.run(&statement);
                }
            }
            for segment in in_force.segments.keys() {
                self.ask(in_force, segment, &mut found);
            }
        }
        self.db.execute_batch("COMMIT").unwrap();
        found
    }

    fn ask(&self, in_force: &InForce, segment: &str, found: &mut BTreeMap<i64, Members>) {
        let mut ask = Ask::new(in_force);
        let held = ask.condition(&in_force.segments[segment]);
        self.run("DELETE FROM passes; DELETE FROM done;");
        ask.before.iter().for_each(|statement| self.run(statement));
        let sql = format!("SELECT q.now, q.profile FROM asked q WHERE {held}");
        let mut statement = self.db.prepare(&sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .unwrap();
        for row in rows {
            let (at, profile) = row.unwrap();
            found.get_mut(&at).unwrap().insert((segment.to_owned(), profile));
        }
    }

    fn run(&self, sql: &str) {
        self.db
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    fn strings(&self, sql: &str) -> Vec<String> {
        let mut statement = self
            .db
            .prepare_cached(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// When events were received and happened.
    pub(crate) fn times(&self) -> BTreeSet<i64> {
        let sql = "SELECT received FROM event UNION SELECT time FROM event";
        let mut statement = self.db.prepare_cached(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The texts that properties and traits have.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.strings(
            "SELECT j.atom FROM event e, json_each(e.traits) j WHERE j.type = 'text'
             UNION SELECT j.atom FROM event e, json_each(e.properties) j WHERE j.type = 'text'",
        )
    }

    /// When the period of an instant begins, the next one, and that after so many more.
    pub(crate) fn periods_after(&self, zone: &str, unit: &str, previous: i64, at: i64) -> Vec<i64> {
        let mut rows = self
            .db
            .prepare_cached(
                "SELECT starts FROM period WHERE zone = ?1 AND unit = ?2 AND no IN (
                    SELECT max(no) + shift FROM period, (SELECT 0 AS shift UNION SELECT 1 UNION SELECT 1 + ?4)
                    WHERE zone = ?1 AND unit = ?2 AND starts <= ?3 GROUP BY shift)",
            )
            .unwrap();
        let starts = rows.query_map((zone, unit, at, previous), |row| row.get(0)).unwrap();
        starts.map(Result::unwrap).collect()
    }

    /// Notes every number that stands anywhere in a column, by the text that it has there.
    fn note_numbers(&self, column: &str) {
        let numbers = self.strings(&format!(
            "SELECT DISTINCT e.{column} -> j.fullkey FROM event e, json_tree(e.{column}) j WHERE j.type IN ('integer', 'real')"
        ));
        let mut row = self
            .db
            .prepare_cached("INSERT OR IGNORE INTO number VALUES (?, ?, ?, ?, ?, ?)")
            .unwrap();
        for text in numbers {
            let units = units_of(&text);
            let limb = |power: u32| (units.div_euclid(10_i128.pow(power)).rem_euclid(1_000_000_000)) as i64;
            let top = units.div_euclid(10_i128.pow(27)) as i64;
            row.execute(params![text, key_of(&text), top, limb(18), limb(9), limb(0)])
                .unwrap();
        }
    }

    /// Notes every object in a column that is a place.
    fn note_places(&self, column: &str) {
        let objects = self.strings(&format!(
            "SELECT DISTINCT e.{column} -> j.fullkey FROM event e, json_tree(e.{column}) j WHERE j.type = 'object'"
        ));
        let mut row = self
            .db
            .prepare_cached("INSERT OR IGNORE INTO spot VALUES (?, ?, ?, ?)")
            .unwrap();
        for text in objects {
            if let Some([x, y, z]) = spot_of(&text) {
                row.execute(params![text, x, y, z]).unwrap();
            }
        }
    }
}

/// A number in units of 10^-18, read digit by digit from its text. The worlds hold none that is finer or beyond 10^18.
fn units_of(text: &str) -> i128 {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap();
    let (negative, mantissa) = (mantissa.starts_with('-'), mantissa.trim_start_matches('-'));
    let (whole, places) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{places}").parse().unwrap();
    let shift = u32::try_from(18 + exponent - i32::try_from(places.len()).unwrap()).unwrap();
    let units = digits.checked_mul(10_i128.pow(shift)).unwrap();
    if negative { -units } else { units }
}

/// A text that sorts among others as its number does.
pub(crate) fn key_of(text: &str) -> String {
    format!("n{:038}", units_of(text) + 5 * 10_i128.pow(36))
}

/// A place as a point of the unit sphere, where an object is a place.
fn spot_of(object: &str) -> Option<[f64; 3]> {
    let fields: serde_json::Value = serde_json::from_str(object).ok()?;
    let coordinate = |names: &[&str], most: f64| {
        let degrees = names.iter().find_map(|name| fields[name].as_f64())?;
        (degrees.abs() <= most).then_some(degrees)
    };
    let latitude = coordinate(&["latitude", "lat"], 90.0)?;
    Some(point(latitude, coordinate(&["longitude", "lon", "lng"], 180.0)?))
}

/// The point of the unit sphere at these degrees.
pub(crate) fn point(latitude: f64, longitude: f64) -> [f64; 3] {
    let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
    [
        latitude.cos() * longitude.cos(),
        latitude.cos() * longitude.sin(),
        latitude.sin(),
    ]
}

/// A person's place in a bucket in thousandths of a percent, by the hash that the documentation states.
fn draw(salt: &str, profile: &str) -> i64 {
    let mut bytes = salt.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend(u128::from_str_radix(profile, 16).unwrap().to_be_bytes());
    let hash = blake3::derive_key("kith bucket 1", &bytes);
    let fraction = hash[..8].iter().fold(0_u128, |sum, byte| sum * 256 + u128::from(*byte));
    (fraction * 100_000 / (1 << 64)) as i64
}
