//! A change of membership and its cause (contract SEG-5): the words that the pipeline, the tables, activation and the
//! API share. It works with ids and moments only; it never decides who is a member.

use kith_types::{EventKey, ProfileId, SegmentName, Timestamp};
use std::fmt;

/// Why a membership changed. The names are persisted; they never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A live event was applied, a sign-in that merged two people included.
    Event(EventKey),
    /// Only time went by.
    Clock,
    /// A definition was applied, changed or removed.
    Definition,
    /// An event of an imported history was applied.
    Import,
    /// An operator merged people, vetoed evidence or changed the rules of identity.
    Regrouping,
}

/// A cause without the event that it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseKind {
    /// As [`Cause::Event`].
    Event,
    /// As [`Cause::Clock`].
    Clock,
    /// As [`Cause::Definition`].
    Definition,
    /// As [`Cause::Import`].
    Import,
    /// As [`Cause::Regrouping`].
    Regrouping,
}

impl CauseKind {
    /// Every kind. What stores them by their place here never changes it.
    pub const ALL: [CauseKind; 5] = [
        Self::Event,
        Self::Clock,
        Self::Definition,
        Self::Import,
        Self::Regrouping,
    ];

    /// The name that the tables and the API use: `event`, `clock`, `definition`, `import` or `regrouping`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Clock => "clock",
            Self::Definition => "definition",
            Self::Import => "import",
            Self::Regrouping => "regrouping",
        }
    }
}

impl Cause {
    /// The same without the event.
    #[must_use]
    pub fn kind(self) -> CauseKind {
        match self {
            Self::Event(_) => CauseKind::Event,
            Self::Clock => CauseKind::Clock,
            Self::Definition => CauseKind::Definition,
            Self::Import => CauseKind::Import,
            Self::Regrouping => CauseKind::Regrouping,
        }
    }

    /// The name that the tables and the API use, as [`CauseKind::as_str`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.kind().as_str()
    }

    /// The event that caused it, where one did.
    #[must_use]
    pub fn event_key(self) -> Option<EventKey> {
        if let Self::Event(key) = self { Some(key) } else { None }
    }

    /// The cause of that name. `event` needs its key; no other cause may have one.
    #[must_use]
    pub fn from_name(name: &str, key: Option<EventKey>) -> Option<Self> {
        match (name, key) {
            ("event", Some(key)) => Some(Self::Event(key)),
            ("clock", None) => Some(Self::Clock),
            ("definition", None) => Some(Self::Definition),
            ("import", None) => Some(Self::Import),
            ("regrouping", None) => Some(Self::Regrouping),
            _ => None,
        }
    }

    /// Whether it happened live, so that it may cause a message without being asked to (contract ACT-6).
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Event(_) | Self::Clock)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(key) => write!(f, "event({key:?})"),
            other => f.write_str(other.as_str()),
        }
    }
}

/// Somebody entered or left a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The segment.
    pub segment: SegmentName,
    /// The person.
    pub profile: ProfileId,
    /// Entered (true) or left (false).
    pub entered: bool,
    /// The instant of the change: of the record, or of the timer that was due.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Whether a limit of what is kept of a person may have made it other than exact (contract PRO-5).
    pub approximate: bool,
}

impl Change {
    /// The change from one membership to another; none where nothing changed.
    #[must_use]
    pub fn between(
        before: bool,
        after: bool,
        segment: &SegmentName,
        profile: ProfileId,
        at: Timestamp,
        cause: Cause,
    ) -> Option<Self> {
        (before != after).then(|| Self {
            segment: segment.clone(),
            profile,
            entered: after,
            at,
            cause,
            approximate: false,
        })
    }

    /// The name of the event that tells it in Segment's contract, see
    /// <https://segment.com/docs/engage/using-engage-data/>.
    #[must_use]
    pub fn audience_event(&self) -> &'static str {
        if self.entered {
            "Audience Entered"
        } else {
            "Audience Exited"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seg_5_causes_have_stable_names() {
        let key = EventKey(7);
        let all = [
            (Cause::Event(key), "event", true),
            (Cause::Clock, "clock", true),
            (Cause::Definition, "definition", false),
            (Cause::Import, "import", false),
            (Cause::Regrouping, "regrouping", false),
        ];
        for (cause, name, live) in all {
            assert_eq!((cause.as_str(), cause.is_live()), (name, live));
            assert_eq!(Cause::from_name(name, cause.event_key()), Some(cause));
        }
        assert_eq!(Cause::from_name("event", None), None);
        assert_eq!(Cause::from_name("clock", Some(key)), None);
        assert_eq!(Cause::from_name("Clock", None), None);
    }

    #[test]
    fn seg_5_a_change_is_told_only_when_something_changed() {
        let segment: SegmentName = "vip".parse().unwrap();
        let change = |before, after| {
            Change::between(
                before,
                after,
                &segment,
                ProfileId(1),
                Timestamp::from_millis(5),
                Cause::Clock,
            )
        };
        assert_eq!(change(true, true), None);
        assert_eq!(change(false, false), None);
        assert_eq!(
            change(false, true).map(|change| change.audience_event()),
            Some("Audience Entered")
        );
        assert_eq!(
            change(true, false).map(|change| change.audience_event()),
            Some("Audience Exited")
        );
    }
}
