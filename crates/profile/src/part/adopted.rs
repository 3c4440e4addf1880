//! Aggregates that were folded elsewhere, from the same events: taken into a part instead of folding them here.

use super::Part;
use kith_expr::AggregateId;

impl Part {
    /// Takes aggregates from the fold of exactly this part's events, made elsewhere and at no later instant. They are
    /// those that [`Part::missing`] named; what the part holds already is left as it is.
    ///
    /// The result is as if each event had gone through [`Part::apply_only`].
    pub fn adopt(&mut self, ids: &[AggregateId], folded: &Part) {
        let fresh: Vec<AggregateId> = ids
            .iter()
            .filter(|id| self.held.slot(**id).is_none())
            .copied()
            .collect();
        self.begin(&fresh);
        for id in fresh {
            let (Some(entry), Some(slot)) = (folded.entry(id), self.held.slot(id)) else {
                continue;
            };
            if let Err(at) = self.entries.find(slot) {
                self.entries.insert(at, entry.in_slot(slot as u32));
            }
        }
        self.settle();
    }
}
