//! How far each destination of audiences is, what has still to be told, and what was refused (contract SEG-5). A cursor moves in
//! the transaction that writes down what is told of the stretch that it passed, see `told`.

use super::attempt::is_paused;
use super::reserve::number;
use super::{Ledger, parsed};
use crate::error::ActivateError;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};

/// The most refusals that are kept of a destination; what was refused before them is only counted.
const REFUSALS_KEPT: i64 = 1_000;

/// Where a destination stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the outbox that is wanted next.
    pub(crate) next_number: u64,
    /// From which number on segments are told that have no row of their own.
    pub(crate) all_from: Option<u64>,
    /// From which number on each segment is told.
    pub(crate) segments: BTreeMap<SegmentName, u64>,
    /// The latest instant of what was told before it was kept whom a destination holds.
    pub(crate) told_until: Timestamp,
    /// Why whom it holds has to be compared with who is a member, where it has to.
    pub(crate) compare: Option<Compare>,
    /// The number at which that is done, once the members of that moment are written down.
    pub(crate) compare_at: Option<u64>,
}

/// Why whom a destination holds is compared with who is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// Before this was kept it was told: who is a member is held, as far as can be known.
    Unkept,
    /// Changes were lost.
    Lost,
    /// Both.
    UnkeptAndLost,
}

impl Compare {
    const ALL: [Self; 3] = [Self::Unkept, Self::Lost, Self::UnkeptAndLost];

    /// Where changes are lost now.
    pub(crate) fn and_lost(before: Option<Self>) -> Self {
        match before {
            None | Some(Self::Lost) => Self::Lost,
            Some(Self::Unkept | Self::UnkeptAndLost) => Self::UnkeptAndLost,
        }
    }

    /// The number that stands for it in the file.
    fn number(self) -> i64 {
        match self {
            Self::Unkept => 1,
            Self::Lost => 2,
            Self::UnkeptAndLost => 3,
        }
    }

    fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.number() == number)
    }
}

/// What a destination has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) next_number: u64,
    /// Events that the receiver took.
    pub(crate) sent: u64,
    /// Events that it refused for good.
    pub(crate) refused: u64,
    /// Changes of people who have neither a user id nor an anonymous id.
    pub(crate) nameless: u64,
    /// Changes that were gone before they could be told.
    pub(crate) missed: u64,
    /// Members that have still to be told or compared.
    pub(crate) members: u64,
    /// Changes that are decided and not answered.
    pub(crate) deciding: u64,
    /// The instant of the oldest of these.
    pub(crate) deciding_since: Option<Timestamp>,
    /// Why the latest refusal was made.
    pub(crate) last_refusal: Option<String>,
    /// Whether sending there is paused.
    pub(crate) paused: bool,
}

/// A member who has still to be told.
#[derive(Clone, Debug)]
pub(crate) struct WaitingMember {
    pub(crate) id: i64,
    pub(crate) segment: SegmentName,
    pub(crate) profile: ProfileId,
    pub(crate) since: Timestamp,
}

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The number of the outbox that is wanted next.
    Number(u64),
    /// Everybody up to this row of waiting members.
    Member(i64),
}

/// An event that a receiver refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) segment: SegmentName,
    pub(crate) profile: ProfileId,
    pub(crate) entered: bool,
    pub(crate) changed_at: Timestamp,
    pub(crate) reason: String,
}

impl Ledger {
    /// The destinations that the ledger knows.
    pub(crate) fn destinations(&self) -> Result<Vec<(SpaceId, String)>, ActivateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT space, destination FROM destinations")?;
        let rows = statement.query_map([], |row| Ok((parsed(row, 0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The lowest number that a destination of a space wants next; `None` where there is none.
    pub(crate) fn destinations_want(&self, space: &SpaceId) -> Result<Option<u64>, ActivateError> {
        const READ: &str = "SELECT min(next_number) FROM destinations WHERE space = ?1";
        let lowest: Option<i64> = self.connection().query_row(READ, [space.as_str()], |row| row.get(0))?;
        Ok(lowest.and_then(|lowest| u64::try_from(lowest).ok()))
    }

    /// Where a destination stands; `None` before it was connected.
    pub(crate) fn destination(&self, space: &SpaceId, name: &str) -> Result<Option<Place>, ActivateError> {
        let connection = self.connection();
        const READ: &str = "SELECT next_number, all_from, told_until, compare, compare_at FROM destinations WHERE space = ?1 AND destination = ?2";
        let read = |row: &Row<'_>| {
            Ok(Place {
                next_number: unsigned(row.get(0)?),
                all_from: row.get::<_, Option<i64>>(1)?.map(unsigned),
                segments: BTreeMap::new(),
                told_until: Timestamp::from_micros(row.get(2)?),
                compare: Compare::of(row.get(3)?),
                compare_at: row.get::<_, Option<i64>>(4)?.map(unsigned),
            })
        };
        let found = connection
            .prepare_cached(READ)?
            .query_row([space.as_str(), name], read)
            .optional()?;
        let Some(place) = found else {
            return Ok(None);
        };
        const SEGMENTS: &str =
            "SELECT segment, from_number FROM destination_segments WHERE space = ?1 AND destination = ?2";
        let mut statement = connection.prepare_cached(SEGMENTS)?;
        let rows = statement.query_map([space.as_str(), name], |row| {
            Ok((parsed(row, 0)?, unsigned(row.get(1)?)))
        })?;
        Ok(Some(Place {
            segments: rows.collect::<Result<_, _>>()?,
            ..place
        }))
    }

    /// Adds members that have still to be told. They count once [`Ledger::connect`] has said so.
    pub(crate) fn add_members(
        &self,
        space: &SpaceId,
        name: &str,
        members: &[(SegmentName, ProfileId, Timestamp)],
    ) -> Result<(), ActivateError> {
        self.transaction(|ledger| {
            const ADD: &str = "INSERT INTO destination_members (space, destination, segment, profile, since) VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut statement = ledger.prepare_cached(ADD)?;
            for (segment, profile, since) in members {
                let (profile, since) = (profile.0.to_be_bytes(), since.as_micros());
                statement.execute(params![space.as_str(), name, segment.as_str(), profile, since])?;
            }
            Ok(())
        })
    }

    /// Forgets members of segments that a destination is not connected to: what a crash left, and what it is not told of any
    /// more.
    pub(crate) fn drop_loose_members(&self, space: &SpaceId, name: &str) -> Result<(), ActivateError> {
        const DROP: &str = "DELETE FROM destination_members WHERE space = ?1 AND destination = ?2 AND segment NOT IN (SELECT segment FROM destination_segments WHERE space = ?1 AND destination = ?2)";
        self.connection().execute(DROP, [space.as_str(), name])?;
        Ok(())
    }

    /// Records that a destination stands there: all or nothing. What was decided of segments that it is no longer told of
    /// is not told any more.
    pub(crate) fn connect(&self, space: &SpaceId, name: &str, place: &Place, missed: u64) -> Result<(), ActivateError> {
        self.transaction(|ledger| {
            const STANDS: &str = "INSERT INTO destinations (space, destination, next_number, all_from, told_until, missed, compare, compare_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET next_number = excluded.next_number, all_from = excluded.all_from, told_until = excluded.told_until, missed = missed + excluded.missed, compare = excluded.compare, compare_at = excluded.compare_at";
            let all_from = place.all_from.map(number);
            ledger.execute(
                STANDS,
                params![
                    space.as_str(),
                    name,
                    number(place.next_number),
                    all_from,
                    place.told_until.as_micros(),
                    number(missed),
                    place.compare.map_or(0, Compare::number),
                    place.compare_at.map(number),
                ],
            )?;
            const FORGET: &str = "DELETE FROM destination_segments WHERE space = ?1 AND destination = ?2";
            ledger.execute(FORGET, [space.as_str(), name])?;
            const ADD: &str = "INSERT INTO destination_segments (space, destination, segment, from_number) VALUES (?1, ?2, ?3, ?4)";
            for (segment, from) in &place.segments {
                ledger.execute(ADD, params![space.as_str(), name, segment.as_str(), number(*from)])?;
            }
            if place.all_from.is_none() {
                const UNSAID: &str = "DELETE FROM telling WHERE space = ?1 AND destination = ?2 AND segment NOT IN (SELECT segment FROM destination_segments WHERE space = ?1 AND destination = ?2)";
                ledger.execute(UNSAID, [space.as_str(), name])?;
            }
            Ok(())
        })
    }

    /// Forgets a destination that is no more: one of the same name begins anew.
    pub(crate) fn disconnect(&self, space: &SpaceId, name: &str) -> Result<(), ActivateError> {
        // Whoever else needs the ledger does not wait for millions of rows. One that is killed meanwhile is forgotten again.
        while self.forget_told(space, name, &BTreeSet::new())? {}
        while self.drop_compared(space, name)? {}
        self.transaction(|ledger| {
            for table in [
                "destinations",
                "destination_segments",
                "destination_members",
                "destination_refusals",
                "told",
                "telling",
                "compared_members",
            ] {
                let forget = format!("DELETE FROM {table} WHERE space = ?1 AND destination = ?2");
                ledger.execute(&forget, [space.as_str(), name])?;
            }
            Ok(())
        })
    }

    /// Members that have still to be told, the first.
    pub(crate) fn members(
        &self,
        space: &SpaceId,
        name: &str,
        limit: usize,
    ) -> Result<Vec<WaitingMember>, ActivateError> {
        const READ: &str = "SELECT id, segment, profile, since FROM destination_members WHERE space = ?1 AND destination = ?2 ORDER BY id LIMIT ?3";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(READ)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![space.as_str(), name, limit], |row| {
            Ok(WaitingMember {
                id: row.get(0)?,
                segment: parsed(row, 1)?,
                profile: ProfileId(u128::from_be_bytes(row.get(2)?)),
                since: Timestamp::from_micros(row.get(3)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether nothing is to be sent to a destination at present.
    pub(crate) fn destination_paused(&self, space: &SpaceId, name: &str) -> Result<bool, ActivateError> {
        Ok(is_paused(&self.connection(), space.as_str(), &pause_name(name))?)
    }

    /// What a destination has done so far.
    pub(crate) fn tally(&self, space: &SpaceId, name: &str) -> Result<Tally, ActivateError> {
        let connection = self.connection();
        const READ: &str = "SELECT next_number, sent, refused, nameless, missed FROM destinations WHERE space = ?1 AND destination = ?2";
        let read = |row: &Row<'_>| {
            let figure = |column| Ok::<_, rusqlite::Error>(unsigned(row.get(column)?));
            Ok(Tally {
                next_number: figure(0)?,
                sent: figure(1)?,
                refused: figure(2)?,
                nameless: figure(3)?,
                missed: figure(4)?,
                ..Tally::default()
            })
        };
        let mut tally = connection
            .prepare_cached(READ)?
            .query_row([space.as_str(), name], read)
            .optional()?
            .unwrap_or_default();
        // No further: counting millions would hold up whoever else needs the ledger.
        const MEMBERS: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM destination_members WHERE space = ?1 AND destination = ?2 LIMIT 100000)) + (SELECT count(*) FROM (SELECT 1 FROM compared_members WHERE space = ?1 AND destination = ?2 AND (SELECT compare_at FROM destinations WHERE space = ?1 AND destination = ?2) IS NOT NULL LIMIT 100000))";
        tally.members = unsigned(
            connection
                .prepare_cached(MEMBERS)?
                .query_row([space.as_str(), name], |row| row.get(0))?,
        );
        const TELLING: &str = "SELECT count(DISTINCT CASE WHEN kind = 'change' THEN number END), min(CASE WHEN kind = 'change' THEN changed_at END), count(CASE WHEN kind <> 'change' THEN 1 END) FROM telling WHERE space = ?1 AND destination = ?2";
        let telling = |row: &Row<'_>| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Option<i64>>(1)?,
                row.get::<_, i64>(2)?,
            ))
        };
        let (changes, since, others) = connection
            .prepare_cached(TELLING)?
            .query_row([space.as_str(), name], telling)?;
        tally.members += unsigned(others);
        (tally.deciding, tally.deciding_since) = (unsigned(changes), since.map(Timestamp::from_micros));
        const LAST: &str =
            "SELECT reason FROM destination_refusals WHERE space = ?1 AND destination = ?2 ORDER BY id DESC LIMIT 1";
        let last = connection
            .prepare_cached(LAST)?
            .query_row([space.as_str(), name], |row| row.get(0));
        tally.last_refusal = last.optional()?;
        tally.paused = is_paused(&connection, space.as_str(), &pause_name(name))?;
        Ok(tally)
    }
}

/// The name under which a destination is paused: no message has a slash in its name.
pub(crate) fn pause_name(destination: &str) -> String {
    format!("destination/{destination}")
}

pub(super) fn keep_refusals(
    ledger: &Connection,
    space: &SpaceId,
    name: &str,
    refusals: &[Refusal],
    now: Timestamp,
) -> rusqlite::Result<()> {
    const KEEP: &str = "INSERT INTO destination_refusals (space, destination, segment, profile, entered, changed_at, refused_at, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    for refusal in refusals {
        ledger.prepare_cached(KEEP)?.execute(params![
            space.as_str(),
            name,
            refusal.segment.as_str(),
            refusal.profile.0.to_be_bytes(),
            refusal.entered,
            refusal.changed_at.as_micros(),
            now.as_micros(),
            refusal.reason,
        ])?;
    }
    if !refusals.is_empty() {
        const BOUND: &str = "DELETE FROM destination_refusals WHERE space = ?1 AND destination = ?2 AND id <= (SELECT id FROM destination_refusals WHERE space = ?1 AND destination = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)";
        ledger
            .prepare_cached(BOUND)?
            .execute(params![space.as_str(), name, REFUSALS_KEPT])?;
    }
    Ok(())
}

pub(super) fn unsigned(figure: i64) -> u64 {
    u64::try_from(figure).unwrap_or(0)
}
