//! Counting against caps, inside the transaction that decides (contract ACT-1). A person is the profile that entered, the
//! profile that stands for it now, and the addresses: each of them is enough. It never decides what follows.

use crate::limits::{CapScope, Limits};
use kith_types::{ProfileId, SpaceId, Timestamp};
use rusqlite::{Connection, params};

/// The send that asks.
pub(super) struct Asking<'a> {
    pub(super) space: &'a SpaceId,
    pub(super) message: &'a str,
    pub(super) profile: ProfileId,
    pub(super) address: &'a str,
    /// Its row, which does not count against itself; none where it does not exist yet.
    pub(super) id: Option<i64>,
}

/// Which sends count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// Those that may have reached the person, and those that still wait for their time.
    WithReserved,
    /// Those that may have reached the person.
    Left,
    /// Those, and what waits of live entries: what a run has waits for it to be gone first.
    LeftOrLive,
}

/// The reason of the first cap that is used up at an instant, if one is.
pub(super) fn used_up(
    ledger: &Connection,
    asking: &Asking<'_>,
    limits: &Limits,
    counting: Counting,
    at: Timestamp,
) -> rusqlite::Result<Option<&'static str>> {
    for cap in &limits.caps {
        let counted = count(ledger, asking, limits, counting, (cap.scope, at - cap.within))?;
        if counted >= cap.at_most {
            return Ok(Some(cap.scope.reason()));
        }
    }
    Ok(None)
}

/// Whether the person has the message, may have it, or for `WithReserved` is to get it: by whatever entry or run, as whomever.
pub(super) fn has_it(
    ledger: &Connection,
    asking: &Asking<'_>,
    limits: &Limits,
    counting: Counting,
) -> rusqlite::Result<bool> {
    Ok(count(ledger, asking, limits, counting, (CapScope::Message, Timestamp::MIN))? > 0)
}

/// The sends of the person are found first, by profile and address: SQLite would else look through all of the space.
pub(super) const COUNT: &str = "SELECT count(*) FROM sends WHERE id IN (SELECT id FROM sends WHERE space = ?1 AND profile IN (?2, ?3) UNION SELECT id FROM sends WHERE space = ?1 AND address IN (SELECT ?4 UNION ALL SELECT value FROM json_each(?10))) AND id <> ?5 AND (left_at > ?6 OR (?7 AND left_at IS NULL AND state = 'reserved' AND due_at > ?6 AND (NOT ?11 OR asked_at IS NULL))) AND CASE ?8 WHEN 'message' THEN message = ?9 WHEN 'channel' THEN topic IS NOT NULL AND channel = 'email' ELSE topic IS NOT NULL END";

fn count(
    ledger: &Connection,
    asking: &Asking<'_>,
    limits: &Limits,
    counting: Counting,
    (scope, after): (CapScope, Timestamp),
) -> rusqlite::Result<u32> {
    let scope = match scope {
        CapScope::Message => "message",
        CapScope::Channel => "channel",
        CapScope::Person => "person",
    };
    let mut statement = ledger.prepare_cached(COUNT)?;
    statement.query_row(
        params![
            asking.space.as_str(),
            asking.profile.0.to_be_bytes(),
            limits.person.unwrap_or(asking.profile).0.to_be_bytes(),
            asking.address,
            asking.id.unwrap_or(-1),
            after.as_micros(),
            counting != Counting::Left,
            scope,
            asking.message,
            serde_json::Value::from(limits.addresses.clone()).to_string(),
            counting == Counting::LeftOrLive,
        ],
        |row| row.get(0),
    )
}
