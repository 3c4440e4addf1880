//! `fold_history`: the aggregate function whose value is a fold.
//!
//! State and value are the same: the bytes of a [`Part`] of the plan. Parts of disjoint events merge, so rows may be
//! folded in any number of partitions and merged in any order, and groups may spill.

use super::row::{Columns, Needs};
use crate::functions::nobody;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, TypeSignature, Volatility,
};
use kith_profile::{FoldPlan, Part};
use kith_types::Event;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The function, for one plan.
#[derive(Debug)]
pub(super) struct FoldHistory {
    plan: Arc<FoldPlan>,
    needs: Needs,
    signature: Signature,
}

impl FoldHistory {
    pub(super) fn new(plan: Arc<FoldPlan>, needs: Needs) -> Self {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let types = vec![
            DataType::Utf8View,
            DataType::Utf8View,
            time.clone(),
            time,
            DataType::Int32,
            DataType::Int32,
            DataType::Int64,
            DataType::Int64,
            DataType::Utf8View,
            DataType::Utf8View,
            DataType::Utf8View,
            DataType::Utf8View,
        ];
        Self {
            plan,
            needs,
            signature: Signature::new(TypeSignature::Exact(types), Volatility::Immutable),
        }
    }
}

impl PartialEq for FoldHistory {
    fn eq(&self, other: &Self) -> bool {
        self.plan.fingerprint() == other.plan.fingerprint()
    }
}

impl Eq for FoldHistory {}

impl Hash for FoldHistory {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.plan.fingerprint().hash(state);
    }
}

impl AggregateUDFImpl for FoldHistory {
    fn name(&self) -> &str {
        "fold_history"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[fold]", arguments.name);
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        exec_err!("a fold is of one carrier: group by it")
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Folds {
            plan: Arc::clone(&self.plan),
            needs: self.needs,
            parts: Vec::new(),
            sizes: Vec::new(),
            bytes: 0,
            event: nobody()?,
        }))
    }
}

/// The folds of all groups.
struct Folds {
    plan: Arc<FoldPlan>,
    needs: Needs,
    parts: Vec<Part>,
    /// About how many bytes each part took beside its place in the list, when that was last looked at.
    sizes: Vec<u32>,
    /// Their sum.
    bytes: usize,
    /// The row that is being folded.
    event: Event,
}

impl Folds {
    fn grow(&mut self, groups: usize) {
        self.parts.resize_with(groups, Part::default);
        self.sizes.resize(groups, 0);
    }

    fn part(&mut self, group: usize) -> Result<&mut Part> {
        let beyond = || exec_datafusion_err!("a group is beyond those there are");
        self.parts.get_mut(group).ok_or_else(beyond)
    }

    /// Looks again at how many bytes the parts of these groups take, once all rows of a batch are in them.
    fn measure(&mut self, groups: &[usize]) {
        for group in groups {
            if let (Some(part), Some(size)) = (self.parts.get(*group), self.sizes.get_mut(*group)) {
                let beside = part.memory_bytes().saturating_sub(size_of::<Part>());
                let now = u32::try_from(beside).unwrap_or(u32::MAX);
                self.bytes = (self.bytes + now as usize).saturating_sub(*size as usize);
                *size = now;
            }
        }
    }

    fn emit(&mut self, emit_to: EmitTo) -> ArrayRef {
        let parts = emit_to.take_needed(&mut self.parts);
        let mut out = BinaryBuilder::with_capacity(parts.len(), parts.len() * 128);
        let mut bytes = Vec::with_capacity(512);
        let sizes = emit_to.take_needed(&mut self.sizes);
        let taken: usize = sizes.iter().map(|size| *size as usize).sum();
        self.bytes = self.bytes.saturating_sub(taken);
        for part in &parts {
            bytes.clear();
            part.encode_for(&self.plan, &mut bytes);
            out.append_value(&bytes);
        }
        Arc::new(out.finish())
    }
}

fn counts(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for Folds {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let columns = Columns::new(values, self.needs)?;
        let mut event = std::mem::replace(&mut self.event, nobody()?);
        let plan = Arc::clone(&self.plan);
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| counts(filter, *row)) {
            columns.read(row, &mut event)?;
            self.part(*group)?.apply(&plan, &event);
        }
        self.event = event;
        self.measure(groups);
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let [folds] = values else {
            return exec_err!("folds merge with folds");
        };
        let folds = folds.as_binary::<i32>();
        for (row, group) in groups.iter().enumerate() {
            if folds.is_null(row) || !counts(filter, row) {
                continue;
            }
            let part = Part::decode_for(folds.value(row), &self.plan)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let mine = self.part(*group)?;
            match mine.is_empty() {
                true => *mine = part,
                false => mine.merge_from(&part),
            }
        }
        self.measure(groups);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.emit(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)])
    }

    fn size(&self) -> usize {
        self.bytes + self.parts.capacity() * (size_of::<Part>() + size_of::<u32>())
    }
}
