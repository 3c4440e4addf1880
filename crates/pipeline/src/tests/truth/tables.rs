//! The rows that the oracle asks: those of `clean.events`, who was whose at which time, and what SQLite has no types for:
//! exact numbers, as texts that sort as the numbers do; places, as points of a sphere; the draws of buckets.

use super::calendar;
use kith_types::{Event, ProfileId, Value, write_json_object};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// The tables of one world after another; the calendar is made once.
pub(super) struct Tables {
    pub(super) db: Connection,
}

/// Who was whose after a record: events by their number, people, their identifiers.
#[derive(Default)]
pub(super) struct Epoch {
    pub(super) starts: i64,
    /// How many events there were.
    pub(super) events: usize,
    pub(super) whose: Vec<(usize, ProfileId)>,
    pub(super) people: Vec<ProfileId>,
    pub(super) named: Vec<(ProfileId, String)>,
}

const SCHEMA: &str = "
CREATE TABLE event(id INTEGER PRIMARY KEY, received INTEGER, time INTEGER, sequence INTEGER, indexed INTEGER,
    type TEXT, name TEXT, properties TEXT, context TEXT, traits TEXT, account TEXT);
CREATE TABLE epoch(no INTEGER PRIMARY KEY, starts INTEGER, events INTEGER);
CREATE TABLE belongs(epoch INTEGER, profile TEXT, account TEXT);
CREATE INDEX belongs_by ON belongs(epoch, profile);
CREATE TABLE told(epoch INTEGER, account TEXT, name TEXT, doc TEXT);
CREATE INDEX told_by ON told(epoch, account, name);
CREATE TABLE whose(epoch INTEGER, event INTEGER, profile TEXT);
CREATE TABLE person(epoch INTEGER, profile TEXT);
CREATE TABLE named(epoch INTEGER, profile TEXT, identifier TEXT);
CREATE TABLE number(text TEXT PRIMARY KEY, key TEXT, l3 INTEGER, l2 INTEGER, l1 INTEGER, l0 INTEGER);
CREATE TABLE spot(text TEXT PRIMARY KEY, x REAL, y REAL, z REAL);
CREATE TABLE drawn(salt TEXT, profile TEXT, place INTEGER);
CREATE TABLE moment(now INTEGER PRIMARY KEY);
CREATE TABLE seen(epoch INTEGER, profile TEXT, event INTEGER, time INTEGER, place INTEGER, type TEXT, properties TEXT,
    context TEXT, traits TEXT, received INTEGER);
CREATE INDEX seen_by ON seen(epoch, profile);
CREATE TABLE known(epoch INTEGER, profile TEXT, name TEXT, doc TEXT);
CREATE INDEX known_by ON known(epoch, profile, name);
CREATE TABLE allowed(epoch INTEGER, profile TEXT, category TEXT, granted INTEGER);
CREATE TABLE passes(leaf INTEGER, event INTEGER, v TEXT, currency TEXT, PRIMARY KEY (leaf, event)) WITHOUT ROWID;
CREATE TABLE done(leaf INTEGER, epoch INTEGER, profile TEXT, at INTEGER);
CREATE INDEX done_by ON done(leaf, epoch, profile);
CREATE TABLE asked(now INTEGER, epoch INTEGER, profile TEXT);
";

const EMPTY: &str = "DELETE FROM event; DELETE FROM epoch; DELETE FROM whose; DELETE FROM person; DELETE FROM named;
DELETE FROM number; DELETE FROM spot; DELETE FROM drawn; DELETE FROM moment; DELETE FROM seen; DELETE FROM known;
DELETE FROM allowed; DELETE FROM belongs; DELETE FROM told; DELETE FROM passes; DELETE FROM done; DELETE FROM asked;";

/// What follows from the rows for every leaf: the events of each person at each epoch, the traits that survive (the
/// latest that says anything), the answers that hold (the latest, none later than its receipt; of two at one instant the restrictive one), the accounts of each person, and what has been
/// said of each account, by whomever.
const DERIVED: &str = "
INSERT INTO seen SELECT w.epoch, w.profile, e.id, e.time, e.place, e.type, e.properties, e.context, e.traits, e.received
    FROM whose w JOIN (SELECT *, row_number() OVER (ORDER BY time, sequence, indexed) AS place FROM event) e ON e.id = w.event;
INSERT INTO known SELECT epoch, profile, name, doc FROM (
    SELECT s.epoch, s.profile, j.key AS name, s.traits -> j.fullkey AS doc,
        row_number() OVER (PARTITION BY s.epoch, s.profile, j.key ORDER BY s.place DESC) AS n
    FROM seen s, json_each(s.traits) j
    WHERE s.type <> 'group' AND j.type <> 'null' AND NOT (j.type = 'text' AND trim(j.atom) = '')) WHERE n = 1;
INSERT INTO belongs SELECT DISTINCT w.epoch, w.profile, e.account FROM whose w JOIN event e ON e.id = w.event
    WHERE e.account IS NOT NULL;
INSERT INTO told SELECT epoch, account, name, doc FROM (
    SELECT o.no AS epoch, e.account, j.key AS name, e.traits -> j.fullkey AS doc,
        row_number() OVER (PARTITION BY o.no, e.account, j.key ORDER BY e.time DESC, e.sequence DESC, e.indexed DESC) AS n
    FROM epoch o JOIN event e ON e.id < o.events AND e.type = 'group', json_each(e.traits) j
    WHERE j.type <> 'null' AND NOT (j.type = 'text' AND trim(j.atom) = '')) WHERE n = 1;
INSERT INTO allowed SELECT epoch, profile, category, granted FROM (
    SELECT s.epoch, s.profile, j.key AS category, j.type = 'true' AS granted,
        row_number() OVER (PARTITION BY s.epoch, s.profile, j.key ORDER BY min(s.time, s.received) DESC, j.type = 'true') AS n
    FROM seen s, json_each(s.context -> '$.consent.categoryPreferences') j WHERE j.type IN ('true', 'false')) WHERE n = 1;
";

impl Tables {
    pub(super) fn new() -> Self {
        let db = Connection::open_in_memory().unwrap();
        calendar::fill(&db).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        Self { db }
    }

    /// Empties the tables and takes in a world.
    pub(super) fn fill(&self, events: &[Event], epochs: &[Epoch], salts: &BTreeSet<Box<str>>) {
        self.db.execute_batch("BEGIN").unwrap();
        self.db.execute_batch(EMPTY).unwrap();
        let mut row = self
            .db
            .prepare_cached("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .unwrap();
        let json = |object| {
            let mut out = String::new();
            write_json_object(object, &mut out);
            out
        };
        for (id, event) in events.iter().enumerate() {
            row.execute(params![
                id as i64,
                event.received_at.as_micros(),
                event.event_time.as_micros(),
                event.address.sequence as i64,
                event.address.index,
                event.event_type.as_str(),
                &*event.name,
                json(&event.properties),
                json(&event.context),
                json(&event.traits),
                event.group_id.as_deref(),
            ])
            .unwrap();
            for object in [&event.properties, &event.context, &event.traits] {
                object.iter().for_each(|(_, value)| self.note(value));
            }
        }
        self.fill_epochs(epochs, salts);
        self.db.execute_batch(DERIVED).unwrap();
        self.db.execute_batch("COMMIT").unwrap();
    }

    fn fill_epochs(&self, epochs: &[Epoch], salts: &BTreeSet<Box<str>>) {
        let prepare = |sql| self.db.prepare_cached(sql).unwrap();
        let mut epoch_row = prepare("INSERT INTO epoch VALUES (?, ?, ?)");
        let mut whose = prepare("INSERT INTO whose VALUES (?, ?, ?)");
        let mut person = prepare("INSERT INTO person VALUES (?, ?)");
        let mut named = prepare("INSERT INTO named VALUES (?, ?, ?)");
        let mut drawn = prepare("INSERT INTO drawn VALUES (?, ?, ?)");
        let mut everybody = BTreeSet::new();
        for (no, epoch) in epochs.iter().enumerate() {
            let no = no as i64;
            epoch_row
                .execute(params![no, epoch.starts, epoch.events as i64])
                .unwrap();
            for (event, profile) in &epoch.whose {
                whose.execute(params![no, *event as i64, text_of(*profile)]).unwrap();
            }
            for profile in &epoch.people {
                person.execute(params![no, text_of(*profile)]).unwrap();
            }
            for (profile, identifier) in &epoch.named {
                named.execute(params![no, text_of(*profile), identifier]).unwrap();
            }
            everybody.extend(epoch.people.iter().copied());
        }
        for salt in salts {
            for profile in &everybody {
                drawn
                    .execute(params![&**salt, text_of(*profile), draw(salt, *profile)])
                    .unwrap();
            }
        }
    }

    /// Notes the numbers and the places in a value.
    fn note(&self, value: &Value) {
        match value {
            Value::Number(number) => self.note_number(&number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.note(item)),
            Value::Object(fields) => {
                fields.iter().for_each(|(_, inner)| self.note(inner));
                if let Some([x, y, z]) = spot_of(value) {
                    let mut row = self
                        .db
                        .prepare_cached("INSERT OR IGNORE INTO spot VALUES (?, ?, ?, ?)")
                        .unwrap();
                    row.execute(params![value.to_json(), x, y, z]).unwrap();
                }
            }
            _ => {}
        }
    }

    fn note_number(&self, text: &str) {
        let units = units_of(text);
        let limb = |power: u32| (units.div_euclid(10_i128.pow(power)).rem_euclid(1_000_000_000)) as i64;
        let top = units.div_euclid(10_i128.pow(27)) as i64;
        let mut row = self
            .db
            .prepare_cached("INSERT OR IGNORE INTO number VALUES (?, ?, ?, ?, ?, ?)")
            .unwrap();
        row.execute(params![text, key_of(text), top, limb(18), limb(9), limb(0)])
            .unwrap();
    }
}

/// A profile id as the tables hold it.
pub(super) fn text_of(profile: ProfileId) -> String {
    format!("{:032x}", profile.0)
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
pub(super) fn key_of(text: &str) -> String {
    format!("n{:038}", units_of(text) + 5 * 10_i128.pow(36))
}

/// A place as a point of the unit sphere, where a value is a place.
fn spot_of(value: &Value) -> Option<[f64; 3]> {
    let coordinate = |names: &[&str], most: f64| {
        let found = names.iter().find_map(|name| value.get(name)?.as_number())?;
        let degrees: f64 = found.to_string().parse().ok()?;
        (degrees.abs() <= most).then_some(degrees)
    };
    let latitude = coordinate(&["latitude", "lat"], 90.0)?;
    Some(point(latitude, coordinate(&["longitude", "lon", "lng"], 180.0)?))
}

/// The point of the unit sphere at these degrees.
pub(super) fn point(latitude: f64, longitude: f64) -> [f64; 3] {
    let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
    [
        latitude.cos() * longitude.cos(),
        latitude.cos() * longitude.sin(),
        latitude.sin(),
    ]
}

/// A person's place in a bucket in thousandths of a percent, by the hash that the documentation states.
fn draw(salt: &str, profile: ProfileId) -> i64 {
    let mut bytes = salt.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend(profile.0.to_be_bytes());
    let hash = blake3::derive_key("kith bucket 1", &bytes);
    let fraction = hash[..8].iter().fold(0_u128, |sum, byte| sum * 256 + u128::from(*byte));
    (fraction * 100_000 / (1 << 64)) as i64
}
