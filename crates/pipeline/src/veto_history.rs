//! Since when and until when each veto was in force, so that who was who can be told as of a past instant (contract
//! IDN-8).
//!
//! Kept with the vetoes in force and, like them, a function of the decisions in the log. It forgets the oldest that ended
//! beyond a bound, and then says from when on it knows.

use crate::vetoes::Veto;
use kith_types::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Vetoes that ended and are remembered, at most.
pub(crate) const MAX_ENDED: usize = if cfg!(test) { 50 } else { 10_000 };

/// A veto and its time, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Span {
    veto: Veto,
    /// When it was decided; nothing where that is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
    /// Why it was decided, while it is in force; nothing where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The times of vetoes. One in force without a span has been since before any instant that is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct VetoHistory {
    spans: Vec<Span>,
    /// Before this instant vetoes may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_from: Option<i64>,
}

impl VetoHistory {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in that one set followed another, and why.
    pub(crate) fn decided(&mut self, before: &BTreeSet<Veto>, after: &BTreeSet<Veto>, at: Timestamp, reason: &str) {
        for ended in before.difference(after) {
            let open = self
                .spans
                .iter_mut()
                .find(|span| span.to.is_none() && span.veto == *ended);
            match open {
                Some(span) => {
                    span.to = Some(at.as_micros());
                    span.reason = None;
                }
                None => self.spans.push(Span {
                    veto: ended.clone(),
                    from: None,
                    to: Some(at.as_micros()),
                    reason: None,
                }),
            }
        }
        self.spans.extend(after.difference(before).map(|begun| Span {
            veto: begun.clone(),
            from: Some(at.as_micros()),
            to: None,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
        }));
        let ended = self.spans.iter().filter(|span| span.to.is_some()).count();
        for _ in MAX_ENDED..ended {
            let oldest = self
                .spans
                .iter()
                .enumerate()
                .filter_map(|(at, span)| Some((span.to?, at)));
            let Some((to, place)) = oldest.min() else { break };
            self.spans.remove(place);
            self.known_from = self.known_from.max(Some(to));
        }
    }

    /// Since when each veto that did not end is in force, and why, where that is known.
    pub(crate) fn begun(&self) -> BTreeMap<&Veto, (Option<Timestamp>, Option<&str>)> {
        let open = self.spans.iter().filter(|span| span.to.is_none());
        open.map(|span| {
            (
                &span.veto,
                (span.from.map(Timestamp::from_micros), span.reason.as_deref()),
            )
        })
        .collect()
    }

    /// The vetoes that were in force at an instant, of those that are now; nothing where that is forgotten.
    pub(crate) fn at(&self, in_force: &BTreeSet<Veto>, at: Timestamp) -> Option<BTreeSet<Veto>> {
        let at = at.as_micros();
        if self.known_from.is_some_and(|known_from| at < known_from) {
            return None;
        }
        let mut then = in_force.clone();
        for span in self.spans.iter().filter(|span| span.to.is_none()) {
            if span.from.is_some_and(|from| from > at) {
                then.remove(&span.veto);
            }
        }
        for span in &self.spans {
            if span.from.is_none_or(|from| from <= at) && span.to.is_some_and(|to| at < to) {
                then.insert(span.veto.clone());
            }
        }
        Some(then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_types::Identifier;

    fn pair(number: u32) -> Veto {
        let id = |text: String| Identifier::parse(&text).unwrap();
        Veto::pair(id(format!("user_id:u{number}")), id("user_id:x".to_owned()))
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn idn_8_vetoes_are_known_as_they_stood() {
        let set = |numbers: &[u32]| numbers.iter().map(|number| pair(*number)).collect::<BTreeSet<_>>();
        let mut history = VetoHistory::default();
        // 1 was decided by a release that kept no times.
        let steps = [
            (10, set(&[1, 2])),
            (20, set(&[2, 3])),
            (30, set(&[3])),
            (40, set(&[2, 3])),
        ];
        let mut before = set(&[1]);
        for (micros, after) in &steps {
            history.decided(&before, after, at(*micros), if *micros == 40 { "typed" } else { "" });
            before = after.clone();
        }
        let then = |micros: i64| history.at(&before, at(micros)).unwrap();
        assert_eq!(then(9), set(&[1]));
        for (micros, after) in &steps {
            assert_eq!(
                (then(*micros), then(micros + 9)),
                (after.clone(), after.clone()),
                "{micros}"
            );
        }
        let written = serde_json::to_string(&history).unwrap();
        assert_eq!(written, GOLDEN, "as version 1 writes it");
        assert_eq!(serde_json::from_str::<VetoHistory>(&written).unwrap(), history);
        let mut longer = history.clone();
        let many: BTreeSet<Veto> = (2..52).map(pair).collect();
        longer.decided(&before, &many, at(50), "");
        longer.decided(&many, &set(&[]), at(60), "");
        assert_eq!(longer.at(&set(&[]), at(29)), None, "forgotten, and said so");
        assert_eq!(longer.at(&set(&[]), at(30)), Some(set(&[3])));
        assert_eq!(longer.at(&set(&[]), at(60)), Some(set(&[])));
    }

    const GOLDEN: &str = concat!(
        r#"{"spans":[{"veto":{"one":"user_id:u2","other":"user_id:x"},"from":10,"to":30},"#,
        r#"{"veto":{"one":"user_id:u1","other":"user_id:x"},"to":20},"#,
        r#"{"veto":{"one":"user_id:u3","other":"user_id:x"},"from":20},"#,
        r#"{"veto":{"one":"user_id:u2","other":"user_id:x"},"from":40,"reason":"typed"}]}"#
    );
}
