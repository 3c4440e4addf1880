//! Views: events with their person, and orders.
//!
//! The person of an event is the holder of its carrier at the event's time, by the rules of the space
//! ([`carrier_key`](crate::functions::CarrierKey)); `curated.identifiers` says who holds what when. Joining from the
//! events' side keeps filters on events at the events' files.

use crate::functions::CarrierKey;
use crate::session;
use crate::table::LakeTable;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{LogicalPlanBuilder, ScalarUDF, col, lit};
use datafusion::prelude::SessionConfig;
use kith_identity::Rules;
use kith_types::Timestamp;
use std::sync::Arc;

/// A view that every space has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// `curated.events`.
    Events,
    /// `curated.orders`.
    Orders,
}

/// Events with the profile that they belong to.
const EVENTS: &str = "\
SELECT e.*, i.profile_id
FROM events e
LEFT JOIN (SELECT concat(type, chr(31), value) AS key, profile_id, valid_from, valid_to FROM identifiers) i
  ON i.key = carrier_key(e.identifiers)
  AND (i.valid_from IS NULL OR i.valid_from <= e.event_time)
  AND (i.valid_to IS NULL OR e.event_time < i.valid_to)";

/// The same where nothing says how many identifiers there are: they are what is looked up, and events go by.
const EVENTS_OF_THEN: &str = "\
SELECT e.*, i.profile_id
FROM (SELECT concat(type, chr(31), value) AS key, profile_id, valid_from, valid_to FROM identifiers) i
RIGHT JOIN events e
  ON i.key = carrier_key(e.identifiers)
  AND (i.valid_from IS NULL OR i.valid_from <= e.event_time)
  AND (i.valid_to IS NULL OR e.event_time < i.valid_to)";

/// One row per order, with what its event says.
const ORDERS: &str = "\
SELECT
  json_get_text(properties, 'order_id') AS order_id,
  profile_id,
  event_time,
  TRY_CAST(json_get_text(properties, 'total') AS DECIMAL(38, 9)) AS total,
  json_get_text(properties, 'currency') AS currency,
  json_array_length(properties, 'products') AS product_count,
  json_get_text(properties, 'coupon') AS coupon,
  source,
  message_id
FROM resolved
WHERE event_type = 'track' AND event = 'Order Completed'";

impl View {
    pub(crate) fn all() -> &'static [Self] {
        &[Self::Events, Self::Orders]
    }

    pub(crate) fn zone(self) -> &'static str {
        "curated"
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Orders => "orders",
        }
    }

    /// The view over these snapshots, by these rules: of all events, or of those received by an instant.
    pub(crate) async fn build(
        self,
        events: Arc<LakeTable>,
        identifiers: Arc<dyn TableProvider>,
        (rules, received_by): (Arc<Rules>, Option<Timestamp>),
    ) -> Result<Arc<dyn TableProvider>> {
        let state = session::base(Arc::new(RuntimeEnv::default()), SessionConfig::new()).build();
        let context = SessionContext::new_with_state(state);
        context.register_udf(ScalarUDF::from(CarrierKey::new(rules)));
        context.register_table("events", events)?;
        if let Some(at) = received_by {
            let all = context.state().create_logical_plan("SELECT * FROM events").await?;
            let at = lit(ScalarValue::TimestampMicrosecond(
                Some(at.as_micros()),
                Some("UTC".into()),
            ));
            let received = LogicalPlanBuilder::from(all)
                .filter(col("received_at").lt_eq(at))?
                .build()?;
            context.deregister_table("events")?;
            context.register_table("events", Arc::new(ViewTable::new(received, None)))?;
        }
        context.register_table("identifiers", identifiers)?;
        let sql = if received_by.is_some() { EVENTS_OF_THEN } else { EVENTS };
        let resolved = context.state().create_logical_plan(sql).await?;
        let resolved = Arc::new(ViewTable::new(resolved, None));
        if self == Self::Events {
            return Ok(resolved);
        }
        context.register_table("resolved", resolved)?;
        let orders = context.state().create_logical_plan(ORDERS).await?;
        Ok(Arc::new(ViewTable::new(orders, None)))
    }
}
