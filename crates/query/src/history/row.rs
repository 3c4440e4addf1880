//! A row of `clean.events` as the event that it was, as far as aggregates ask.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, StringViewArray};
use datafusion::arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use kith_expr::{Condition, FieldRoot, Function};
use kith_profile::FoldPlan;
use kith_types::{Address, Event, EventType, Object, Timestamp, Value};
use std::sync::Arc;

/// Which of the JSON columns a plan looks into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Needs {
    pub(crate) properties: bool,
    pub(crate) traits: bool,
    pub(crate) context: bool,
    pub(crate) accounts: bool,
}

impl Needs {
    pub(crate) fn of(plan: &FoldPlan) -> Self {
        let mut needs = Self::default();
        for spec in plan.ids().iter().filter_map(|id| plan.spec(*id)) {
            let keyed = spec.sequence.as_ref().is_some_and(|sequence| sequence.same.is_some());
            needs.accounts |= spec.function == Function::Accounts;
            needs.properties |= spec.property.is_some() || keyed;
            spec.filters().for_each(|filter| needs.look(filter.condition()));
        }
        needs
    }

    fn look(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| self.look(part)),
            Condition::Not(part) => self.look(part),
            Condition::Test(field, _) => match field.root {
                FieldRoot::Properties => self.properties = true,
                FieldRoot::Context => self.context = true,
                FieldRoot::Traits => self.traits = true,
            },
        }
    }
}

/// The columns that a fold is given, in the order of its arguments.
pub(crate) struct Columns<'a> {
    types: &'a StringViewArray,
    names: &'a StringViewArray,
    times: &'a [i64],
    received: &'a [i64],
    generations: &'a Int32Array,
    partitions: &'a Int32Array,
    sequences: &'a Int64Array,
    indices: &'a Int64Array,
    properties: Option<&'a StringViewArray>,
    traits: Option<&'a StringViewArray>,
    context: Option<&'a StringViewArray>,
    accounts: Option<&'a StringViewArray>,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(values: &'a [ArrayRef], needs: Needs) -> Result<Self> {
        let [
            types,
            names,
            times,
            received,
            generations,
            partitions,
            sequences,
            indices,
            properties,
            traits,
            context,
            accounts,
        ] = values
        else {
            return exec_err!("a fold takes the columns of events");
        };
        Ok(Self {
            types: types.as_string_view(),
            names: names.as_string_view(),
            times: times.as_primitive::<TimestampMicrosecondType>().values(),
            received: received.as_primitive::<TimestampMicrosecondType>().values(),
            generations: generations.as_primitive::<Int32Type>(),
            partitions: partitions.as_primitive::<Int32Type>(),
            sequences: sequences.as_primitive::<Int64Type>(),
            indices: indices.as_primitive::<Int64Type>(),
            properties: needs.properties.then(|| properties.as_string_view()),
            traits: needs.traits.then(|| traits.as_string_view()),
            context: needs.context.then(|| context.as_string_view()),
            accounts: needs.accounts.then(|| accounts.as_string_view()),
        })
    }

    /// Makes `event` that of a row.
    pub(crate) fn read(&self, row: usize, event: &mut Event) -> Result<()> {
        let kind = self.types.value(row);
        if event.event_type.as_str() != kind {
            event.event_type = TYPES
                .into_iter()
                .find(|one| one.as_str() == kind)
                .ok_or_else(|| exec_datafusion_err!("an event has a type that is not known"))?;
        }
        if *event.name != *self.names.value(row) {
            event.name = Arc::from(self.names.value(row));
        }
        event.event_time = Timestamp::from_micros(self.times[row]);
        event.received_at = Timestamp::from_micros(self.received[row]);
        let beyond = |_| exec_datafusion_err!("an event's address is out of range");
        event.address = Address {
            generation: u16::try_from(self.generations.value(row)).map_err(beyond)?,
            partition: u16::try_from(self.partitions.value(row)).map_err(beyond)?,
            sequence: u64::try_from(self.sequences.value(row)).map_err(beyond)?,
            index: u32::try_from(self.indices.value(row)).map_err(beyond)?,
        };
        let account = self.accounts.filter(|accounts| accounts.is_valid(row));
        event.group_id = account.map(|accounts| accounts.value(row).into());
        read_object(self.properties, row, &mut event.properties)?;
        read_object(self.traits, row, &mut event.traits)?;
        read_object(self.context, row, &mut event.context)
    }
}

const TYPES: [EventType; 6] = [
    EventType::Identify,
    EventType::Track,
    EventType::Page,
    EventType::Screen,
    EventType::Group,
    EventType::Alias,
];

fn read_object(column: Option<&StringViewArray>, row: usize, object: &mut Object) -> Result<()> {
    let Some(column) = column else { return Ok(()) };
    object.clear();
    if column.is_null(row) {
        return Ok(());
    }
    match kith_clean::parse_json(column.value(row).as_bytes()) {
        Ok(Value::Object(fields)) => *object = fields,
        _ => return exec_err!("an event's JSON is not an object"),
    }
    Ok(())
}
