//! Segments of a person at an instant: changes of membership, and the timer for the next one.
//!
//! Of somebody in memory only the segments are asked that an event touches or whose instant has come; the others answer
//! as they did, and turn when they were to turn. Whoever was loaded or regrouped is asked every segment that may answer
//! other than of somebody of whom nothing is known: they have events of a few kinds, not of all that segments ask for.

use crate::account_facts::{AccountFacts, AccountsOf};
use crate::entry::ProfileEntry;
use crate::person::PersonOf;
use crate::place::{Counted, Moment};
use crate::record::{Membership, ProfileRecord};
use crate::space::Space;
use crate::transitions::Transitions;
use crate::{Definitions, PipelineError};
use kith_profile::Part;
use kith_segment::{Cause, Change};
use kith_state::Read;
use kith_types::{ProfileId, SegmentName, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;

/// Which segments of a person are asked.
#[derive(Clone, Copy)]
enum Asked<'a> {
    /// All of them: what is known of the person may have changed in any way.
    All,
    /// Those that the event touches, which was just folded; nothing else happened to the person but time.
    Touched(Counted<'a>),
    /// Those whose instant has come.
    Due,
}

impl Space {
    /// Evaluates every segment for a loaded profile at `now`, records what changed, and sets its timer. Nobody is
    /// evaluated while rules of identity change.
    pub(crate) fn evaluate(
        &mut self,
        store: &dyn Read,
        id: ProfileId,
        now: Timestamp,
        cause: Cause,
    ) -> Result<(), PipelineError> {
        self.ask(store, id, Asked::All, (now, cause))
    }

    /// The same for somebody whom an event concerns. Who was evaluated before and to whom nothing happened since but this
    /// event is asked what it touches; it comes to what evaluating every segment comes to.
    pub(crate) fn evaluate_event(
        &mut self,
        store: &dyn Read,
        id: ProfileId,
        counted: Counted<'_>,
        Moment { now, cause }: Moment,
    ) -> Result<(), PipelineError> {
        self.ask(store, id, Asked::Touched(counted), (now, cause))
    }

    fn ask(
        &mut self,
        store: &dyn Read,
        id: ProfileId,
        asked: Asked<'_>,
        at: (Timestamp, Cause),
    ) -> Result<(), PipelineError> {
        if self.quiet {
            if let Some(entry) = self.profiles.get_mut(id.0) {
                entry.transitions = None;
            }
            return Ok(());
        }
        let definitions = Arc::clone(&self.definitions);
        let accounts = self.accounts_of(store, id)?;
        let Some(entry) = self.profiles.get_mut(id.0) else {
            return Ok(());
        };
        let before = entry.record.due;
        let mut answered = ask(&definitions, (id, entry), &accounts, asked, at);
        let next = entry.record.due;
        if before != next || !answered.changes.is_empty() {
            self.profile_changed(id);
        }
        self.set_due(id, before, next);
        if answered.depends_on_bounds() && self.is_at_a_bound(store, id)? {
            answered.at_a_bound();
        }
        for change in answered.changes {
            self.record_change(change);
        }
        Ok(())
    }

    /// Whether evidence around a loaded profile may have been refused.
    fn is_at_a_bound(&mut self, store: &dyn Read, id: ProfileId) -> Result<bool, PipelineError> {
        let Some(founder) = self.profiles.get_mut(id.0).map(|entry| entry.record.founder) else {
            return Ok(false);
        };
        match self.component_of(store, founder)? {
            Some(home) => Ok(self.component(store, home)?.component.is_full()),
            None => Ok(false),
        }
    }

    /// Brings a loaded profile to where every timer has fired: it takes the newest decision, what was said of its accounts,
    /// and what time alone changed, each at its own instant.
    pub(crate) fn bring_up(&mut self, store: &dyn Read, id: ProfileId) -> Result<(), PipelineError> {
        if self.quiet {
            return Ok(());
        }
        self.take_definitions(store, id)?;
        self.take_account_changes(store, id)?;
        self.fire_before_of(store, id, self.fired)
    }

    /// Brings a loaded profile that does not know the newest decision to the instant of that decision.
    fn take_definitions(&mut self, store: &dyn Read, id: ProfileId) -> Result<(), PipelineError> {
        let definitions = Arc::clone(&self.definitions);
        let Some(entry) = self.profiles.get_mut(id.0) else {
            return Ok(());
        };
        let Some(left) = take_version(&definitions, id, &mut entry.record) else {
            return Ok(());
        };
        self.profile_changed(id);
        for change in left {
            self.record_change(change);
        }
        self.evaluate(store, id, definitions.decided_at, definitions.cause)
    }

    /// Fires the timers of a loaded profile that are due before an instant. What reaches somebody late has them: what time
    /// alone changed since keeps its own instant.
    pub(crate) fn fire_before_of(
        &mut self,
        store: &dyn Read,
        id: ProfileId,
        limit: Timestamp,
    ) -> Result<(), PipelineError> {
        while let Some(due) = self.profiles.get_mut(id.0).and_then(|entry| entry.record.due)
            && due < limit
        {
            self.fire(store, id, due)?;
        }
        Ok(())
    }

    /// Fires a loaded profile's timer.
    fn fire(&mut self, store: &dyn Read, id: ProfileId, due: Timestamp) -> Result<(), PipelineError> {
        self.figures.timers += 1;
        self.ask(store, id, Asked::Due, (due, Cause::Clock))?;
        // A leaf that could not tell its next instant apart from this one must not hold the clock.
        if self.due.remove(&(due, id))
            && let Some(entry) = self.profiles.get_mut(id.0)
        {
            entry.record.due = None;
            self.profile_changed(id);
        }
        Ok(())
    }

    /// Fires every timer due strictly before `limit`, in the order of their instants. At most `budget` of them; answers
    /// whether none is left.
    pub(crate) fn fire_until(
        &mut self,
        store: &dyn Read,
        limit: Timestamp,
        budget: usize,
    ) -> Result<bool, PipelineError> {
        for _ in 0..budget {
            let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due < limit) else {
                break;
            };
            self.load_profile(store, id)?;
            // Somebody who has just taken a new definition may be due earlier, later or no more.
            if self.due.first() == Some(&(due, id)) {
                self.fire(store, id, due)?;
            }
        }
        Ok(self.fired_until(limit))
    }

    /// Whether no timer before `limit` is left.
    fn fired_until(&mut self, limit: Timestamp) -> bool {
        let all = self.due.first().is_none_or(|(due, _)| *due >= limit);
        if all {
            self.fired = self.fired.max(limit);
        }
        all
    }
}

/// What asking somebody comes to.
#[derive(Default)]
struct Answered {
    changes: Vec<Change>,
    /// Those of which only a bound of identity may have made another, by their place: whether it is met costs a look.
    by_a_bound: Vec<usize>,
}

impl Answered {
    /// Whether any change is exact only if nothing of the person's component was refused.
    fn depends_on_bounds(&self) -> bool {
        !self.by_a_bound.is_empty()
    }

    /// Says that something may have been refused.
    fn at_a_bound(&mut self) {
        self.by_a_bound
            .iter()
            .for_each(|at| self.changes[*at].approximate = true);
    }
}

/// Asks the segments of a person at an instant. What they answer is in the entry then: memberships, its timer, and when each
/// may turn.
fn ask(
    definitions: &Definitions,
    (id, entry): (ProfileId, &mut ProfileEntry),
    accounts: &[Arc<AccountFacts>],
    asked: Asked<'_>,
    (now, cause): (Timestamp, Cause),
) -> Answered {
    let known = entry.transitions.take();
    let mut answered = Answered::default();
    let Answered { changes, by_a_bound } = &mut answered;
    if let Some(whole) = entry.whole() {
        let carriers: SmallVec<[u128; 8]> = entry.parts.iter().map(|slot| slot.key.carrier).collect();
        let mut person = PersonOf {
            id,
            view: whole.view(&definitions.plan, &definitions.trait_rules),
            carriers: &carriers,
            accounts: AccountsOf::new(definitions.accounts.as_ref(), accounts),
            identity_limited: false,
        };
        // Beyond the limit of traits an event may push out a trait that it does not speak of.
        let known = known.filter(|_| !whole.traits_limited() && !matches!(asked, Asked::All));
        let is_known = known.is_some();
        let mut transitions = known.unwrap_or_default();
        let places = match (asked, is_known) {
            (Asked::Touched(counted), true) => touched(definitions, &mut transitions, Some(counted), now),
            (Asked::Due, true) => touched(definitions, &mut transitions, None, now),
            _ => to_ask(definitions, whole, &entry.record),
        };
        #[cfg(test)]
        if !is_known {
            check_others(definitions, &person, &entry.record, &places, now);
        }
        for place in places {
            let segment = &definitions.segments[place];
            let evaluation = segment.compiled.evaluate(&person, now);
            transitions.take(place, evaluation);
            let was = entry.record.membership(&segment.name).is_some();
            let Some(mut change) = Change::between(was, evaluation.member, &segment.name, id, now, cause) else {
                continue;
            };
            // There are far fewer changes than evaluations, so only they pay for it.
            change.approximate = segment.compiled.is_approximate(&person, now);
            if !change.approximate && segment.compiled.depends_on_identifiers() {
                person.identity_limited = true;
                if segment.compiled.is_approximate(&person, now) {
                    by_a_bound.push(changes.len());
                }
                person.identity_limited = false;
            }
            changes.push(change);
        }
        entry.transitions = Some(transitions);
    }
    take_changes(&mut entry.record, changes, cause);
    entry.record.due = entry.transitions.as_ref().and_then(Transitions::first);
    answered
}

/// Has a record be a member of what these changes say.
fn take_changes(record: &mut ProfileRecord, changes: &[Change], cause: Cause) {
    for change in changes {
        match change.entered {
            true => record.enter(Membership {
                segment: change.segment.clone(),
                since: change.at,
                cause: Some(cause.kind()),
            }),
            false => record.leave(&change.segment),
        }
    }
}

/// Has a person know the newest decision, before they are asked by it. Answers of which segments they were a member that are no
/// more; nothing where they knew all of the decision.
fn take_version(definitions: &Definitions, id: ProfileId, record: &mut ProfileRecord) -> Option<Vec<Change>> {
    if record.version >= definitions.version && !record.parts_behind {
        return None;
    }
    record.version = definitions.version;
    record.parts_behind = false;
    let held = record.memberships.iter().map(|held| &held.segment);
    let is_gone = |name: &&SegmentName| definitions.segments.iter().all(|segment| segment.name != **name);
    let gone: Vec<SegmentName> = held.filter(is_gone).cloned().collect();
    gone.iter().for_each(|name| record.leave(name));
    let left = gone.into_iter().map(|segment| Change {
        segment,
        profile: id,
        entered: false,
        at: definitions.decided_at,
        cause: Cause::Definition,
        approximate: false,
    });
    Some(left.collect())
}

/// What the segments that a decision concerns answer of a person at its instant, where nothing of it is approximate.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Those that they are a member of, by their places, rising.
    pub(crate) member_of: Arc<[u32]>,
    /// The earliest instant at which time alone may turn one of them.
    pub(crate) next: Option<Timestamp>,
}

/// Has a person of whom it is known what the newest decision makes of them be a member of what it says, without a look at their parts:
/// those are left for later, and with them when exactly the person is due. Answers what changes; nothing, and nothing is taken,
/// where more must be known of them: they lack an earlier decision, too, or time may have turned something by now.
pub(crate) fn take_foreseen(
    definitions: &Definitions,
    (id, record): (ProfileId, &mut ProfileRecord),
    (concerned, answer): (&[usize], &Answer),
    limit: Timestamp,
) -> Option<Vec<Change>> {
    let (at, cause) = (definitions.decided_at, definitions.cause);
    let due = record.due.into_iter().chain(answer.next).min();
    let lacks_this_alone = record.version + 1 == definitions.version;
    if !lacks_this_alone || record.due.is_some_and(|due| due <= at) || due.is_some_and(|due| due < limit) {
        return None;
    }
    let mut changes = take_version(definitions, id, record)?;
    let left = changes.len();
    for place in concerned {
        let segment = &definitions.segments[*place];
        let was = record.membership(&segment.name).is_some();
        let is = answer.member_of.binary_search(&(*place as u32)).is_ok();
        changes.extend(Change::between(was, is, &segment.name, id, at, cause));
    }
    take_changes(record, &changes[left..], cause);
    record.parts_behind = true;
    record.due = due;
    Some(changes)
}

/// Brings a person who is not in memory, and whose segments ask for no accounts, to where every timer before `limit` has fired: as
/// [`Space::bring_up`] one who is. Answers what changes, and how many timers that were.
pub(crate) fn bring_up_beside(
    definitions: &Definitions,
    (id, entry): (ProfileId, &mut ProfileEntry),
    limit: Timestamp,
    is_at_a_bound: bool,
) -> (Vec<Change>, u64) {
    let (mut changes, mut timers) = (Vec::new(), 0);
    let mut take = |mut answered: Answered| {
        if is_at_a_bound {
            answered.at_a_bound();
        }
        changes.append(&mut answered.changes);
    };
    if let Some(left) = take_version(definitions, id, &mut entry.record) {
        take(Answered {
            changes: left,
            ..Answered::default()
        });
        let at = (definitions.decided_at, definitions.cause);
        take(ask(definitions, (id, entry), &[], Asked::All, at));
    }
    while let Some(due) = entry.record.due.filter(|due| *due < limit) {
        timers += 1;
        take(ask(definitions, (id, entry), &[], Asked::Due, (due, Cause::Clock)));
        if entry.record.due == Some(due) {
            // As where a timer fires: a leaf that could not tell its next instant apart from this one must not hold the clock.
            entry.record.due = None;
        }
    }
    (changes, timers)
}

/// The places of the segments to ask of somebody of whom the instants are known: those that the event touches, and those
/// whose instant has come. They are in rising order, and no longer among the instants.
fn touched(
    definitions: &Definitions,
    known: &mut Transitions,
    event: Option<Counted<'_>>,
    now: Timestamp,
) -> Vec<usize> {
    let mut places = Vec::new();
    if let Some(Counted { event, counting }) = event {
        definitions.index.touched_by(event, counting, &mut places);
    }
    if known.add_open(now, &mut places) {
        places.sort_unstable();
        places.dedup();
    }
    known.forget(&places);
    places
}

/// The places of the segments to ask of somebody of whom no instant is known, in rising order: all but those that answer
/// of them what they answer of nobody and that they are no member of.
fn to_ask(definitions: &Definitions, whole: &Part, record: &ProfileRecord) -> Vec<usize> {
    let mut places = definitions.to_ask_of(whole);
    let asked = places.len();
    for held in &record.memberships {
        let place = definitions
            .segments
            .binary_search_by(|segment| segment.name.cmp(&held.segment));
        places.extend(place.ok().filter(|place| places[..asked].binary_search(place).is_err()));
    }
    if places.len() > asked {
        places.sort_unstable();
    }
    places
}

/// In tests everybody is asked everything: who was not asked a segment would have answered *no* for ever.
#[cfg(test)]
fn check_others(
    definitions: &Definitions,
    person: &PersonOf<'_>,
    record: &ProfileRecord,
    places: &[usize],
    now: Timestamp,
) {
    for (place, segment) in definitions.segments.iter().enumerate() {
        if places.binary_search(&place).is_err() {
            let evaluation = segment.compiled.evaluate(person, now);
            assert!(
                !evaluation.member && evaluation.next_transition.is_none(),
                "{}",
                segment.name
            );
            assert!(record.membership(&segment.name).is_none(), "{}", segment.name);
        }
    }
}
