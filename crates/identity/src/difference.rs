//! What lies between two outcomes over the same events: parts that change hands, ids that end or return.
//!
//! Works with [`crate::Gathering`], which gives the later outcome, and with the keeper of profiles, which carries the
//! difference out. Plain comparison; it decides nothing.

use crate::changes::{Interval, PartMove, Vanished};
use crate::component::{Component, Member, PartKey, oldest};
use kith_types::ProfileId;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of parts and profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Parts that belong to another profile than before, new ones included.
    pub moved: Vec<PartMove>,
    /// Parts that are no longer, and whose they were.
    pub gone: Vec<(PartKey, ProfileId)>,
    /// Parts that take other events than before: their state is a fold of the events that their carrier carries within
    /// the interval.
    pub refold: Vec<Interval>,
    /// Ids that no longer stand, and what they redirect to.
    pub vanished: Vec<Vanished>,
    /// Ids that did not stand before.
    pub created: Vec<ProfileId>,
}

impl Difference {
    /// Between components before and after; an identifier is in one component of each at most.
    #[must_use]
    pub fn between(before: &[Component], after: &[Component]) -> Self {
        let (were, are) = (parts(before), parts(after));
        let mut difference = Self::default();
        for (part, (member, to)) in &are {
            let known = were.get(part);
            if known.is_none_or(|(old, _)| old.end != member.end) {
                difference.refold.push(Interval {
                    part: *part,
                    end: member.end,
                    profile: *to,
                });
            }
            let from = known.map(|(_, from)| *from);
            if from != Some(*to) {
                let (part, to) = (*part, *to);
                difference.moved.push(PartMove { part, from, to });
            }
        }
        let gone = were.iter().filter(|(part, _)| !are.contains_key(part));
        difference
            .gone
            .extend(gone.map(|(part, (_, profile))| (*part, *profile)));
        let stood: BTreeSet<ProfileId> = were.values().map(|(_, profile)| *profile).collect();
        let stand: BTreeSet<ProfileId> = are.values().map(|(_, profile)| *profile).collect();
        difference.created.extend(stand.difference(&stood));
        for profile in stood.difference(&stand) {
            let members = were.values().filter(|(_, of)| of == profile).map(|(member, _)| member);
            let Some(founder) = members.min_by(|a, b| oldest(a).cmp(&oldest(b))) else {
                continue;
            };
            let founder = (founder.part.carrier, founder.first.position());
            let redirect = after.iter().find_map(|one| one.place(founder.0, founder.1));
            difference.vanished.extend(redirect.map(|placement| Vanished {
                profile: *profile,
                redirect: placement.profile,
                founder,
            }));
        }
        difference
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn parts(components: &[Component]) -> BTreeMap<PartKey, (Member, ProfileId)> {
    let of_one = |one: &Component| -> Vec<_> {
        let ids = one
            .members()
            .map(|(member, number)| (member, one.profiles.get(number as usize).copied()));
        ids.filter_map(|(member, id)| Some((member.part, (member, id?))))
            .collect()
    };
    components.iter().flat_map(of_one).collect()
}
