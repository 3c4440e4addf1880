//! Runs: a message that somebody has sent to members whose entry was not live (contract ACT-6). What a run is asked for, how it
//! stands, and why one is refused. A run counts first and sends only once its count was confirmed; the walk is in `engine/runs.rs`,
//! what is kept in `ledger/runs.rs`. Nothing here sends.

use crate::ports::Membership;
use kith_segment::CauseKind;
use kith_types::{Duration, SegmentName, SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::fmt;

/// How long a count may be confirmed: what was seen long ago tells nothing of today.
pub(crate) const COUNT_HOLDS: Duration = Duration::from_days(1);

/// Why a membership began, where it was not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryCause {
    /// A definition was applied, changed or removed.
    Definition,
    /// An imported event, or a reject that was put through again.
    Import,
    /// People were merged or parted by an operator, or by changed rules of identity.
    Regrouping,
    /// It began before causes were kept. It may have been live: a run takes it only where this is asked for.
    Unknown,
}

impl EntryCause {
    /// Every cause.
    pub const ALL: [EntryCause; 4] = [Self::Definition, Self::Import, Self::Regrouping, Self::Unknown];
    /// The causes that are known not to be live: what a run takes unless it is told others.
    pub const NOT_LIVE: [EntryCause; 3] = [Self::Definition, Self::Import, Self::Regrouping];

    /// The name that the ledger, the API and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Import => "import",
            Self::Regrouping => "regrouping",
            Self::Unknown => "unknown",
        }
    }

    /// The cause of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }

    /// The cause of a membership; `None` where it began live.
    fn of(cause: Option<CauseKind>) -> Option<Self> {
        match cause {
            Some(CauseKind::Event | CauseKind::Clock) => None,
            Some(CauseKind::Definition) => Some(Self::Definition),
            Some(CauseKind::Import) => Some(Self::Import),
            Some(CauseKind::Regrouping) => Some(Self::Regrouping),
            None => Some(Self::Unknown),
        }
    }
}

/// Which members a message is to be counted for, and later sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAsked {
    /// The message.
    pub message: String,
    /// Only those who entered so; [`EntryCause::NOT_LIVE`] where it is empty.
    pub causes: Vec<EntryCause>,
    /// Only those who entered at this instant or later.
    pub entered_after: Option<Timestamp>,
    /// Only those who entered at this instant or earlier. Who enters after the asking is no part of a run anyway.
    pub entered_before: Option<Timestamp>,
    /// Who asks.
    pub author: String,
    /// Why.
    pub why: String,
}

/// Where a run stands. The names are persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Members are counted; nothing is sent.
    Counting,
    /// The count stands, and waits to be confirmed.
    Counted,
    /// Members are walked through, and sends reserved.
    Sending,
    /// Every member was looked at: what was reserved is sent as it falls due.
    Done,
    /// It was stopped, and what still waits is being left out.
    Stopping,
    /// It was stopped.
    Stopped,
    /// It was never started, and the message was asked for again.
    Replaced,
}

impl RunState {
    const ALL: [RunState; 7] = [
        Self::Counting,
        Self::Counted,
        Self::Sending,
        Self::Done,
        Self::Stopping,
        Self::Stopped,
        Self::Replaced,
    ];

    /// The name that the ledger and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counting => "counting",
            Self::Counted => "counted",
            Self::Sending => "sending",
            Self::Done => "done",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Replaced => "replaced",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What a walk over members came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTally {
    /// Members that were looked at.
    pub members: u64,
    /// To how many of them it would be sent, or was reserved.
    pub sends: u64,
    /// The others, by reason.
    pub left_out: BTreeMap<String, u64>,
}

/// A run, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// Its number.
    pub id: u64,
    /// The message.
    pub message: String,
    /// The segment whose members it goes to.
    pub segment: SegmentName,
    /// The causes of entries that it takes.
    pub causes: Vec<EntryCause>,
    /// Only those who entered at this instant or later.
    pub entered_after: Option<Timestamp>,
    /// Only those who entered at this instant or earlier.
    pub entered_before: Timestamp,
    /// Who asked for it.
    pub author: String,
    /// Why.
    pub why: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Who confirmed its count, and when.
    pub started: Option<(String, Timestamp)>,
    /// Who stopped it, where somebody did.
    pub stopped_by: Option<String>,
    /// When it came to its last state.
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub state: RunState,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// What the count came to.
    pub counted: RunTally,
    /// What the walk came to that sends.
    pub sent: RunTally,
    /// What became of what it reserved, by state.
    pub sends: BTreeMap<&'static str, u64>,
    /// What of it was skipped afterwards, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// Why a run is not made, started or stopped. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunRefusal {
    /// There is no message of that name.
    NoMessage,
    /// There is no such run of the message.
    NoRun,
    /// Another run of the message is at work.
    AtWork(u64),
    /// It is not counted yet.
    NotCounted,
    /// Its count is another one.
    OtherCount(u64),
    /// It was counted too long ago.
    TooOld,
    /// It has come to an end.
    Over(RunState),
}

impl fmt::Display for RunRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMessage => f.write_str("there is no such message"),
            Self::NoRun => f.write_str("there is no such run of this message"),
            Self::AtWork(run) => write!(
                f,
                "run {run} of this message is at work: wait for its end, or stop it first"
            ),
            Self::NotCounted => f.write_str("the run is still being counted: nothing is sent before that"),
            Self::OtherCount(count) => write!(f, "the run was counted to send to {count}: confirm that number"),
            Self::TooOld => f.write_str("the run was asked for more than 24 hours ago: have it counted again"),
            Self::Over(RunState::Replaced) => {
                f.write_str("the run was never started, and another one of the message was asked for since")
            }
            Self::Over(state) => write!(f, "the run is {} already", state.as_str()),
        }
    }
}

/// A run as the ledger keeps it: what the walk needs.
#[derive(Clone, Debug)]
pub(crate) struct RunRow {
    pub(crate) id: i64,
    pub(crate) space: SpaceId,
    pub(crate) message: String,
    pub(crate) segment: SegmentName,
    pub(crate) topic: Option<String>,
    pub(crate) causes: Vec<EntryCause>,
    pub(crate) entered_after: Option<Timestamp>,
    pub(crate) entered_before: Timestamp,
    pub(crate) state: RunState,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) place: Option<kith_types::ProfileId>,
}

/// The first run number of what was asked for: no outbox counts so far.
const ASKED_FROM: u64 = 1 << 62;

impl RunRow {
    /// The `run` of its sends.
    pub(crate) fn number(&self) -> u64 {
        number_of(self.id)
    }

    /// Why it leaves out a member whose membership of its segment is this one; `None` where it takes them.
    pub(crate) fn leaves_out(&self, membership: Option<&Membership>) -> Option<&'static str> {
        let Some((membership, since)) = membership.and_then(|held| Some((held, held.since?))) else {
            return Some("no_longer_member");
        };
        let Some(cause) = EntryCause::of(membership.cause) else {
            return Some("entered_live");
        };
        if !self.causes.contains(&cause) {
            return Some(match cause {
                EntryCause::Unknown => "cause_unknown",
                _ => "other_cause",
            });
        }
        let early = self.entered_after.is_some_and(|after| since < after);
        (early || since > self.entered_before).then_some("other_time")
    }
}

/// The `run` of the sends of a run of this id.
pub(crate) fn number_of(id: i64) -> u64 {
    ASKED_FROM + u64::try_from(id).unwrap_or(0)
}

/// The id of the run whose sends have this `run`; `None` for the number of an entry.
pub(crate) fn id_of(number: u64) -> Option<i64> {
    i64::try_from(number.checked_sub(ASKED_FROM)?).ok()
}
