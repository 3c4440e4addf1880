//! Why nobody is found as of an instant, and which question finds somebody: an answer that is empty must not be the last word
//! about somebody who is known today.

use super::{AsOf, Definitioned, OfAccounts, Sought, find_past, sought};
use crate::PipelineError;
use crate::definitions::Definitions;
use crate::reads::Reads;
use kith_state::Read;
use kith_types::{SpaceId, Timestamp};

/// Why nobody is found as of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Nobody is found now either.
    NowToo,
    /// What is known of that instant was received later: this question finds somebody.
    KnownLater(AsOf),
    /// All that is known of whoever it is happened later: this question finds somebody.
    HappenedLater(AsOf),
    /// Somebody is found as of now, and no instant is known from which on.
    FoundNow,
}

impl Reads {
    /// Why a name led to nobody as of an instant, by what is known at `now`.
    ///
    /// # Errors
    /// As [`Reads::person_as_of`].
    pub fn absent_as_of(
        &self,
        space: &SpaceId,
        name: &str,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<Absent, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(Absent::NowToo);
        };
        let by = self.by(&definitions, &definitions);
        let finds = |at: Timestamp| {
            let asked = AsOf { at, known_at: now };
            let found = find_past(&*snapshot, space, &by, name, (asked, OfAccounts::Nothing))?;
            Ok::<_, PipelineError>(found.is_some().then_some(asked))
        };
        if let Some(asked) = finds(as_of.at)? {
            return Ok(Absent::KnownLater(asked));
        }
        let Some(firsts) = firsts_of(&*snapshot, space, (&definitions, &by), name, now)? else {
            return Ok(Absent::NowToo);
        };
        for first in firsts {
            // Doors take an event up to five minutes ahead of its receipt, and nobody may ask as of what is still to come.
            if let Some(asked) = finds(first.min(now))? {
                return Ok(Absent::HappenedLater(asked));
            }
        }
        Ok(Absent::FoundNow)
    }
}

/// When whoever a name leads to now was first seen, and then when the name itself was: a held one has others' intervals before.
fn firsts_of(
    reader: &dyn Read,
    space: &SpaceId,
    (definitions, by): (&Definitions, &Definitioned<'_>),
    name: &str,
    now: Timestamp,
) -> Result<Option<Vec<Timestamp>>, PipelineError> {
    let asked = AsOf { at: now, known_at: now };
    let Some(found) = find_past(reader, space, by, name, (asked, OfAccounts::Nothing))? else {
        return Ok(None);
    };
    let members = &found.loaded.members;
    let of_person = members.iter().map(|member| member.first.time).min();
    let of_name = match sought(reader, space, definitions, name)? {
        Some(Sought::Identifier(hash)) => {
            let named = members.iter().filter(|member| member.part.carrier == hash);
            named.map(|member| member.first.time).min()
        }
        Some(Sought::Profile(..)) | None => None,
    };
    Ok(Some(of_person.into_iter().chain(of_name).collect()))
}
