//! 200 segments and 50 computed traits over what the demonstration world sends: counts, sums and last values over windows,
//! sequences, lifecycles, calendars, traits, consent, filters on properties, and segments of segments.
//!
//! They are made by plain loops over names and windows, the same every time. How much of them an event touches is not
//! laid down here: [`super::touches`] counts it.

use serde_json::{Value, json};

const CATEGORIES: [&str; 6] = ["Lighting", "Kitchen", "Garden", "Textiles", "Living", "Furniture"];
const PAGES: [&str; 4] = ["Home", "Product", "Cart", "Thank you"];
const COUNTRIES: [&str; 8] = ["DE", "NL", "FR", "GB", "AT", "US", "ES", "SE"];
/// Goods that are asked about one by one.
const PRODUCTS: usize = 24;
/// Track calls of which few come.
const RARE: [&str; 12] = [
    "Application Opened",
    "Segment Consent Preference Updated",
    "Product List Viewed",
    "Products Searched",
    "Newsletter Subscribed",
    "Cart Viewed",
    "Payment Info Entered",
    "Signed In",
    "Signed Up",
    "Signed Out",
    "Loyalty Card Linked",
    "Call Ended",
];
const VIEWED: &str = "Product Viewed";
const ADDED: &str = "Product Added";
const BOUGHT: &str = "Order Completed";
const CALLED: &str = "Call Ended";

/// Documents that are being made.
#[derive(Default)]
struct Documents {
    made: Vec<Value>,
    segments: usize,
}

impl Documents {
    #[expect(clippy::needless_pass_by_value, reason = "a condition is said in place")]
    fn segment(&mut self, condition: Value) {
        self.segments += 1;
        let name = format!("asked_{:03}", self.segments);
        self.made
            .push(json!({"kind": "segment", "name": name, "spec": {"where": condition}}));
    }

    fn computed(&mut self, name: &str, mut spec: Value, window: Option<&str>) {
        if let (Some(window), Some(fields)) = (window, spec.as_object_mut()) {
            fields.insert("window".to_owned(), json!({"last": window}));
        }
        let name = format!("{name}_{}", window.unwrap_or("ever"));
        self.made
            .push(json!({"kind": "computed_trait", "name": name, "spec": spec}));
    }
}

/// All of them.
pub(super) fn documents() -> Vec<Value> {
    let mut documents = Documents::default();
    computed_traits(&mut documents);
    visits(&mut documents);
    goods(&mut documents);
    orders(&mut documents);
    rare(&mut documents);
    people(&mut documents);
    of_computed_traits(&mut documents);
    of_segments(&mut documents);
    documents.made
}

fn computed_traits(documents: &mut Documents) {
    for window in [None, Some("7d"), Some("30d"), Some("90d")] {
        documents.computed("orders", json!({"function": "count", "event": BOUGHT}), window);
        let of = |function: &str, property: &str| json!({"function": function, "event": BOUGHT, "property": property});
        documents.computed("revenue", of("sum", "revenue"), window);
        documents.computed("average_order", of("average", "total"), window);
        documents.computed("largest_order", of("max", "total"), window);
        documents.computed("smallest_order", of("min", "total"), window);
    }
    for window in ["7d", "30d"] {
        let of = |function: &str, property: &str| json!({"function": function, "event": VIEWED, "property": property});
        documents.computed("dearest_seen", of("max", "price"), Some(window));
        documents.computed("favourite_category", of("most_frequent", "category"), Some(window));
        documents.computed("last_category", of("last", "category"), Some(window));
        let added =
            |function: &str, property: &str| json!({"function": function, "event": ADDED, "property": property});
        documents.computed("worth_added", added("sum", "price"), Some(window));
        documents.computed("products_added", added("unique_count", "product_id"), Some(window));
        documents.computed("last_added", added("last", "name"), Some(window));
    }
    for window in [None, Some("30d"), Some("90d")] {
        let of = |function: &str, property: &str| json!({"function": function, "event": CALLED, "property": property});
        documents.computed("calls", json!({"function": "count", "event": CALLED}), window);
        documents.computed("minutes_called", of("sum", "duration_seconds"), window);
        documents.computed("last_reason", of("last", "reason"), window);
        documents.computed("reasons", of("unique_list", "reason"), window);
        let searched = json!({"function": "unique_list", "event": "Products Searched", "property": "query"});
        documents.computed("searched", searched, window);
        let lists = json!({"function": "count", "event": "Product List Viewed"});
        documents.computed("lists", lists, window);
    }
}

fn visits(documents: &mut Documents) {
    for kind in ["page", "screen"] {
        for page in PAGES {
            for (at_least, window) in [(2, "1h"), (3, "7d"), (5, "30d")] {
                documents.segment(json!({"performed": {
                    "type": kind, "event": page, "at_least": at_least, "within": {"last": window},
                }}));
            }
        }
    }
    for source in ["google", "newsletter", "instagram"] {
        documents.segment(json!({"performed": {
            "type": "page", "where": {"context": "campaign.source", "equals": source}, "within": {"last": "30d"},
        }}));
    }
}

fn goods(documents: &mut Documents) {
    for category in CATEGORIES {
        let of = json!({"property": "category", "equals": category});
        for (at_least, window) in [(2, "30m"), (3, "1d"), (4, "7d"), (6, "30d")] {
            documents.segment(json!({"performed": {
                "event": VIEWED, "where": of, "at_least": at_least, "within": {"last": window},
            }}));
        }
        documents.segment(json!({"all": [
            {"performed": {"event": ADDED, "where": of, "within": {"last": "2h"}}},
            {"not_performed": {"event": BOUGHT, "within": {"last": "2h"}}},
        ]}));
        documents.segment(json!({"sequence": {
            "first": {"event": VIEWED, "where": of}, "then": BOUGHT, "gap_less_than": "2d", "within": {"last": "30d"},
        }}));
    }
    for price in [50, 100, 200, 400] {
        documents.segment(json!({"performed": {
            "event": VIEWED, "where": {"property": "price", "greater_or_equal": price}, "within": {"last": "7d"},
        }}));
    }
    for product in 0..PRODUCTS {
        let of = json!({"property": "product_id", "equals": format!("p-{product:02}")});
        documents.segment(json!({"performed": {
            "event": VIEWED, "where": of, "at_least": 2, "within": {"last": "14d"},
        }}));
    }
}

fn orders(documents: &mut Documents) {
    for total in [25, 50, 100, 200, 400] {
        for window in ["7d", "30d", "90d"] {
            documents.segment(json!({"performed": {
                "event": BOUGHT, "where": {"property": "total", "greater_or_equal": total}, "within": {"last": window},
            }}));
        }
    }
    for gap in ["30m", "2h", "1d", "3d"] {
        documents.segment(json!({"sequence": {
            "first": "Checkout Started", "then_not": BOUGHT, "gap_less_than": gap, "within": {"last": "7d"},
        }}));
    }
    let zone = "Europe/Berlin";
    for within in [
        json!({"this": "month", "zone": zone}),
        json!({"previous": "month", "zone": zone}),
        json!({"this": "week", "zone": zone}),
        json!({"previous": "quarter", "zone": zone}),
    ] {
        documents.segment(json!({"performed": {"event": BOUGHT, "within": within}}));
    }
}

fn rare(documents: &mut Documents) {
    for event in RARE {
        for window in ["1d", "7d", "30d"] {
            documents.segment(json!({"performed": {"event": event, "within": {"last": window}}}));
        }
    }
    for window in ["7d", "14d", "30d"] {
        documents.segment(json!({"performed": {
            "event": CALLED, "where": {"property": "resolved", "is": false}, "within": {"last": window},
        }}));
    }
    for reason in ["complaint", "return"] {
        documents.segment(json!({"all": [
            {"performed": {"event": CALLED, "where": {"property": "reason", "equals": reason}, "within": {"last": "14d"}}},
            {"not_performed": {"event": BOUGHT, "within": {"last": "14d"}}},
        ]}));
    }
    for event in [BOUGHT, "Signed In"] {
        for lifecycle in [
            json!({"stage": "first_time", "event": event, "last": "7d"}),
            json!({"stage": "regularly", "event": event, "every": "7d", "times": 3}),
            json!({"stage": "stopped", "event": event, "after": "20d"}),
            json!({"stage": "came_back", "event": event, "after": "10d", "last": "7d"}),
        ] {
            documents.segment(json!({"lifecycle": lifecycle}));
        }
    }
}

fn people(documents: &mut Documents) {
    for country in COUNTRIES {
        documents.segment(json!({"all": [
            {"trait": "country", "equals": country},
            {"performed": {"event": BOUGHT, "within": {"last": "30d"}}},
        ]}));
    }
    for (silent, window) in [(json!({"type": "any"}), "10d"), (json!({"event": "Signed In"}), "3d")] {
        let mut silent = silent;
        silent["within"] = json!({"last": window});
        documents.segment(json!({"all": [
            {"performed": {"event": BOUGHT, "within": {"last": "30d"}}}, {"not_performed": silent},
        ]}));
    }
    documents.segment(json!({"performed": {"type": "any", "within": {"last": "30m"}}}));
    documents.segment(json!({"all": [
        {"consent": "marketing"}, {"performed": {"event": BOUGHT, "within": {"last": "7d"}}},
    ]}));
    documents.segment(json!({"all": [
        {"trait": "newsletter", "is": true}, {"not": {"trait": "country", "equals": "DE"}},
    ]}));
    for salt in ["spring", "autumn"] {
        documents.segment(json!({"all": [
            {"bucket": {"salt": salt, "from": 0, "to": 50}},
            {"performed": {"event": ADDED, "at_least": 3, "within": {"last": "7d"}}},
        ]}));
    }
}

fn of_computed_traits(documents: &mut Documents) {
    for window in ["ever", "7d", "30d", "90d"] {
        for (name, above) in [
            ("orders", 2),
            ("revenue", 300),
            ("average_order", 120),
            ("largest_order", 250),
        ] {
            documents.segment(json!({"computed_trait": format!("{name}_{window}"), "greater_than": above}));
        }
    }
}

/// Of those above, by their numbers.
fn of_segments(documents: &mut Documents) {
    for first in [92, 98, 104, 115, 121, 127] {
        documents.segment(json!({"any": [
            {"segment": format!("asked_{first:03}")},
            {"all": [
                {"segment": format!("asked_{:03}", first + 1)},
                {"not": {"segment": format!("asked_{:03}", first + 2)}},
                {"trait": "country", "exists": true},
            ]},
        ]}));
    }
}

#[cfg(test)]
mod tests {
    use super::super::touches::Touches;
    use super::*;
    use kith_testkit::world::{World, WorldConfig};
    use kith_types::Timestamp;

    #[test]
    fn there_are_as_many_as_the_bench_says_and_an_event_touches_about_ten() {
        let documents = documents();
        let of = |kind: &str| documents.iter().filter(|document| document["kind"] == kind).count();
        assert_eq!((of("segment"), of("computed_trait")), (200, 50));
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut touches = Touches::of(&documents).unwrap();
        touches.take(World::new(WorldConfig::new(1, 20_000, now)), now);
        let mean = touches.segments() + touches.computed_traits();
        assert!((8.0..13.0).contains(&mean), "{mean}");
        println!(
            "{} {} {}",
            touches.segments(),
            touches.computed_traits(),
            touches.leaves()
        );
    }
}
