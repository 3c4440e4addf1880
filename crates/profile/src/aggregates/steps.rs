//! The events of a sequence, by the value of its key: what is needed to say when each instance is done.
//!
//! An instance is a function of all events of its key, so nothing can be tallied: what may still matter is kept, the
//! times and the parts they play. Where instances have a reach, events are dropped once every instance that they may
//! play a part in has ceased to count. At most [`MAX_POINTS`] are kept, the latest ones; all of the instant at which the
//! limit cuts are left out, and all before it, so that what is kept is a function of the set of events.

use crate::PartError;
use crate::codec::{Reader, put_flag, put_i64, put_len, put_time, put_value};
use crate::growth::insert_tight;
use crate::limits::MAX_POINTS;
use crate::mark::{self, hash_value};
use kith_expr::{Follows, Role, Window};
use kith_types::{Duration, Timestamp, Value};
use std::cmp::Ordering;

const ROLES: [Role; 3] = [Role::First, Role::Then, Role::Both];

/// The events of one value of the key.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    hash: u64,
    key: Value,
    /// Sorted.
    events: Vec<(Timestamp, Role)>,
}

impl Group {
    fn order(&self, hash: u64, key: &Value) -> Ordering {
        mark::order((self.hash, &self.key), (hash, key))
    }

    fn insert(&mut self, event: (Timestamp, Role)) {
        let at = self.events.partition_point(|other| *other <= event);
        insert_tight(&mut self.events, at, event);
    }

    /// Calls `visit` with the instant at which each instance is done, the latest instances first.
    fn each_done(&self, follows: &Follows, visit: &mut impl FnMut(Timestamp)) {
        let (mut next, mut at) = (None, self.events.len());
        while let Some((time, _)) = at.checked_sub(1).map(|last| self.events[last]) {
            let start = self.events[..at].partition_point(|(other, _)| *other < time);
            let same_instant = &self.events[start..at];
            for _ in same_instant.iter().filter(|(_, role)| role.begins()) {
                follows.done(time, next).into_iter().for_each(&mut *visit);
            }
            if same_instant.iter().any(|(_, role)| role.follows()) {
                next = Some(time);
            }
            at = start;
        }
    }
}

/// The kept events of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Steps {
    follows: Follows,
    /// Sorted by hash.
    groups: Vec<Group>,
    /// The latest instant whose events the limit left out, as long as they might matter.
    cut: Option<Timestamp>,
    /// The latest time of an event whose key is too large to be kept, as long as it might matter.
    refused: Option<Timestamp>,
}

impl Steps {
    pub(crate) fn new(follows: Follows) -> Self {
        Self {
            follows,
            groups: Vec::new(),
            cut: None,
            refused: None,
        }
    }

    /// Adds an event. The caller settles afterwards.
    pub(crate) fn add(&mut self, time: Timestamp, role: Role, key: &Value) {
        self.insert(hash_value(key), key, &[(time, role)]);
    }

    pub(crate) fn refuse(&mut self, time: Timestamp) {
        self.refused = self.refused.max(Some(time));
    }

    fn insert(&mut self, hash: u64, key: &Value, events: &[(Timestamp, Role)]) {
        match self.groups.binary_search_by(|group| group.order(hash, key)) {
            Ok(at) => events.iter().for_each(|event| self.groups[at].insert(*event)),
            Err(at) => {
                let group = Group {
                    hash,
                    key: key.clone(),
                    events: events.to_vec(),
                };
                insert_tight(&mut self.groups, at, group);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for group in &other.groups {
            self.insert(group.hash, &group.key, &group.events);
        }
        self.cut = self.cut.max(other.cut);
        self.refused = self.refused.max(other.refused);
    }

    /// Brings the state to its one form at this horizon.
    pub(crate) fn settle(&mut self, window: &Window, horizon: Timestamp) {
        if let Some(earliest) = self.needed_from(window, horizon) {
            self.cut = self.cut.filter(|time| *time >= earliest);
            self.refused = self.refused.filter(|time| *time >= earliest);
            self.keep(|time| time >= earliest);
        }
        if let Window::Between { to, .. } = window {
            // Whatever happens from then on neither begins, completes nor prevents an instance that counts.
            self.refused = self.refused.filter(|time| time < to);
            self.keep(|time| time < *to);
        }
        if let Some(cut) = self.cut {
            self.keep(|time| time > cut);
        }
        let count: usize = self.groups.iter().map(|group| group.events.len()).sum();
        if let Some(beyond) = count.checked_sub(MAX_POINTS).filter(|beyond| *beyond > 0) {
            let mut times: Vec<Timestamp> = self.times().collect();
            let (_, cut, _) = times.select_nth_unstable(beyond - 1);
            let cut = *cut;
            self.cut = Some(cut);
            self.keep(|time| time > cut);
        }
    }

    fn keep(&mut self, kept: impl Fn(Timestamp) -> bool) {
        if self.times().all(&kept) {
            return;
        }
        for group in &mut self.groups {
            group.events.retain(|(time, _)| kept(*time));
        }
        self.groups.retain(|group| !group.events.is_empty());
    }

    fn times(&self) -> impl Iterator<Item = Timestamp> {
        self.groups
            .iter()
            .flat_map(|group| group.events.iter().map(|(time, _)| *time))
    }

    /// The earliest time of an event that may play a part in an instance that counts at `now` or later; `None`: any.
    fn needed_from(&self, window: &Window, now: Timestamp) -> Option<Timestamp> {
        let reach = self.follows.reach()?;
        let done_from = match window {
            Window::Between { from, .. } => *from,
            window => window.earliest(now)?,
        };
        Some(Timestamp::from_micros(
            done_from.as_micros().saturating_sub(reach.as_micros()),
        ))
    }

    /// The earliest horizon at which settling would change anything.
    pub(crate) fn settles_at(&self, window: &Window) -> Timestamp {
        let first = self.groups.iter().filter_map(|group| group.events.first());
        let times = first.map(|(time, _)| *time).chain(self.cut).chain(self.refused);
        let (Some(reach), Some(first)) = (self.follows.reach(), times.min()) else {
            return Timestamp::MAX;
        };
        let last_done = Timestamp::from_micros(first.as_micros().saturating_add(reach.as_micros()));
        window.ceases(last_done).unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.cut.is_none() && self.refused.is_none()
    }

    /// How many instances that are done count at `now`.
    pub(crate) fn count(&self, window: &Window, now: Timestamp) -> i64 {
        let (earliest, latest) = (window.earliest(now), window.latest(now));
        let mut count = 0;
        self.each_done(window, &mut |done| {
            count += i64::from(done <= latest && earliest.is_none_or(|earliest| done >= earliest));
        });
        count
    }

    /// The next instant, strictly after `after`, at which an instance begins or ceases to count.
    pub(crate) fn next_change(&self, window: &Window, after: Timestamp) -> Option<Timestamp> {
        let (earliest, latest) = (window.earliest(after), window.latest(after));
        let (mut first_counted, mut first_waiting) = (None::<Timestamp>, None::<Timestamp>);
        self.each_done(window, &mut |done| {
            let first = if done > latest {
                &mut first_waiting
            } else if earliest.is_none_or(|earliest| done >= earliest) {
                &mut first_counted
            } else {
                return;
            };
            *first = Some(first.map_or(done, |first| first.min(done)));
        });
        let begins = first_waiting.map(|done| window.begins(done));
        let ceases = first_counted.and_then(|done| window.ceases(done));
        [begins, ceases]
            .into_iter()
            .flatten()
            .filter(|at| *at <= Timestamp::MAX)
            .min()
    }

    fn each_done(&self, window: &Window, visit: &mut impl FnMut(Timestamp)) {
        for group in &self.groups {
            group.each_done(&self.follows, &mut |done| {
                if window.admits(done) {
                    visit(done);
                }
            });
        }
    }

    /// Whether a limit may have made the count at `now` other than exact.
    pub(crate) fn approximate(&self, window: &Window, now: Timestamp) -> bool {
        let earliest = self.needed_from(window, now);
        let matters = |time: Timestamp| earliest.is_none_or(|earliest| time >= earliest);
        self.cut.is_some_and(matters) || self.refused.is_some_and(matters)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, from, until) = match self.follows {
            Follows::Nothing { until } => (0, None, Some(until)),
            Follows::Next { from, until } => (1, Some(from), until),
        };
        out.push(kind);
        if let Some(from) = from {
            put_i64(out, from.as_micros());
            put_flag(out, until.is_some());
        }
        if let Some(until) = until {
            put_i64(out, until.as_micros());
        }
        for time in [self.cut, self.refused] {
            put_flag(out, time.is_some());
            if let Some(time) = time {
                put_time(out, time);
            }
        }
        put_len(out, self.groups.len());
        for group in &self.groups {
            put_value(out, &group.key);
            put_len(out, group.events.len());
            let mut last = 0;
            for (time, role) in &group.events {
                put_i64(out, time.as_micros().wrapping_sub(last));
                out.push(*role as u8);
                last = time.as_micros();
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let span = |reader: &mut Reader<'_>| Ok(Duration::from_micros(reader.i64()?));
        let follows = if reader.flag()? {
            Follows::Next {
                from: span(reader)?,
                until: if reader.flag()? { Some(span(reader)?) } else { None },
            }
        } else {
            Follows::Nothing { until: span(reader)? }
        };
        let mut steps = Self::new(follows);
        steps.cut = if reader.flag()? { Some(reader.time()?) } else { None };
        steps.refused = if reader.flag()? { Some(reader.time()?) } else { None };
        for _ in 0..reader.len(3)? {
            let key = reader.value()?;
            let length = reader.len(2)?;
            let mut events = Vec::with_capacity(length);
            let mut last = 0_i64;
            for _ in 0..length {
                last = last.wrapping_add(reader.i64()?);
                let role = ROLES.get(usize::from(reader.byte()?)).copied();
                let role = role.ok_or_else(|| reader.damaged("an unknown part in a sequence"))?;
                events.push((Timestamp::from_micros(last), role));
            }
            if events.is_empty() || !events.is_sorted() {
                return Err(reader.damaged("events of a sequence are out of order"));
            }
            let hash = hash_value(&key);
            steps.groups.push(Group { hash, key, events });
        }
        let sorted = |one: &Group, next: &Group| one.order(next.hash, &next.key) == Ordering::Less;
        if steps.groups.is_sorted_by(sorted) {
            Ok(steps)
        } else {
            Err(reader.damaged("keys of a sequence are out of order"))
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let group = |group: &Group| {
            group.key.as_str().map_or(0, str::len) + group.events.capacity() * size_of::<(Timestamp, Role)>()
        };
        size_of::<Self>() + self.groups.capacity() * size_of::<Group>() + self.groups.iter().map(group).sum::<usize>()
    }
}
