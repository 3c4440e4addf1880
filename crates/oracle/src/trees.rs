//! Segment trees by dice, every operator in turn with operands that the worlds meet.

use crate::calendar::ZONES;
use crate::documents::Document;
use crate::time::iso;
use crate::worlds::Unit;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

/// The dice with what they need to know of the world.
pub(crate) struct Dice<'a> {
    pub(crate) random: &'a mut ChaCha8Rng,
    pub(crate) unit: Unit,
    pub(crate) base: i64,
    pub(crate) calendars: bool,
}

/// Two computed traits, a segment, and so many segments that may refer to it; sometimes rules for traits.
pub(crate) fn documents(dice: &mut Dice<'_>, trees: usize) -> Vec<Document> {
    let mut found = Vec::new();
    if dice.random.random_bool(0.4) {
        found.push(dice.trait_rules());
    }
    for name in ["one", "two"] {
        found.push(dice.computed(name));
    }
    found.push(dice.segment("first", 2, false));
    found.push(dice.segment("second", 3, true));
    found.extend((2..trees).map(|number| dice.segment(&format!("tree_{number}"), 3, true)));
    found
}

/// Other definitions under the names of some that are in force, and the end of one.
pub(crate) fn edits(dice: &mut Dice<'_>) -> Vec<Document> {
    let mut found = Vec::new();
    match dice.random.random_range(0..6) {
        0 | 1 => found.push(dice.trait_rules()),
        2 => found.push(dice.computed("one")),
        3 => found.push(dice.segment("first", 2, false)),
        4 => found.push(document("segment", "second", Json::Null)),
        _ => {}
    }
    if found.is_empty() || dice.random.random_bool(0.3) {
        found.push(dice.segment("second", 3, true));
    }
    // Of two documents of one name, the one that was thrown first is meant.
    found.dedup_by(|later, first| later.name == first.name);
    found
}

fn document(kind: &str, name: &str, spec: Json) -> Document {
    Document {
        kind: kind.to_owned(),
        name: name.to_owned(),
        spec,
    }
}

/// Conditions with less in them.
pub(crate) fn smaller(condition: &Json) -> Vec<Json> {
    let mut found = Vec::new();
    for key in ["all", "any"] {
        for (at, part) in condition[key].as_array().into_iter().flatten().enumerate() {
            found.push(part.clone());
            for inner in smaller(part) {
                let mut cut = condition.clone();
                cut[key][at] = inner;
                found.push(cut);
            }
        }
    }
    if let Some(part) = condition.get("account") {
        found.extend(smaller(part).into_iter().map(|inner| json!({"account": inner})));
    }
    if let Some(part) = condition.get("not") {
        found.push(part.clone());
        found.extend(smaller(part).into_iter().map(|inner| json!({"not": inner})));
    }
    found
}

impl Dice<'_> {
    fn one_of(&mut self, all: &[Json]) -> Json {
        all.choose(self.random).unwrap().clone()
    }

    fn computed(&mut self, name: &str) -> Document {
        document("computed_trait", name, self.computed_trait())
    }

    fn segment(&mut self, name: &str, depth: u32, refers: bool) -> Document {
        document("segment", name, json!({"where": self.tree(depth, refers)}))
    }

    fn trait_rules(&mut self) -> Document {
        let mut spec = json!({});
        if self.random.random_bool(0.3) {
            spec["default"] = self.rule();
        }
        for name in ["plan", "ends", "address", "tags"] {
            if self.random.random_bool(0.6) {
                spec["traits"][name] = self.rule();
            }
        }
        document("trait_rules", "default", spec)
    }

    fn rule(&mut self) -> Json {
        self.one_of(&[
            json!("most_recent"),
            json!("oldest"),
            json!("oldest"),
            json!("most_frequent"),
            json!("most_frequent"),
            json!("min"),
            json!("max"),
            json!("most_restrictive"),
            json!({"source_priority": ["crm", "web"]}),
            json!({"source_priority": ["crm"]}),
        ])
    }

    fn span(&mut self) -> String {
        let count = *[1, 1, 2, 3, 5, 400].choose(self.random).unwrap();
        self.unit.span(count)
    }

    fn short(&mut self) -> (i64, String) {
        let count = self.random.random_range(1..5);
        (count, self.unit.span(count))
    }

    fn tree(&mut self, depth: u32, refers: bool) -> Json {
        if depth == 0 || self.random.random_bool(0.4) {
            return self.leaf(refers);
        }
        match self.random.random_range(0..5) {
            0 | 1 => json!({"all": [self.tree(depth - 1, refers), self.tree(depth - 1, refers)]}),
            2 | 3 => json!({"any": [self.tree(depth - 1, refers), self.tree(depth - 1, refers)]}),
            _ => json!({"not": self.tree(depth - 1, refers)}),
        }
    }

    fn leaf(&mut self, refers: bool) -> Json {
        match self.random.random_range(0..20) {
            0..4 => self.performed(),
            4..6 => self.sequence(),
            6..8 => self.lifecycle(),
            8..11 => json!({"account": self.account(2)}),
            11..13 => self.trait_test(),
            13..16 => self.computed_test(),
            16 => match self.random.random_range(0..3) {
                0 => json!({"consent": "marketing"}),
                1 => json!({"consent": "marketing", "answer": "denied"}),
                _ => json!({"consent": "marketing", "answer": "unknown"}),
            },
            17 => {
                let from = self.random.random_range(0..90);
                json!({"bucket": {"salt": "s", "from": from, "to": self.random.random_range(from + 1..=99)}})
            }
            18 => {
                let listed = [
                    json!(["user_id:u1"]),
                    json!(["email:m1@x.org", "anonymous_id:a2"]),
                    json!(["user_id:nobody"]),
                ];
                json!({"listed": self.one_of(&listed)})
            }
            _ if refers => json!({"segment": "first"}),
            _ => json!({"performed": "A"}),
        }
    }

    fn window(&mut self) -> Json {
        let at = |base: i64, unit: Unit, count: i64| iso(base + count * unit.micros / 2);
        let first = self.random.random_range(0..8);
        match self.random.random_range(0..9) {
            0..3 => json!({"last": self.span()}),
            3 => json!({"before_last": self.span()}),
            4 => {
                let (to, _) = self.short();
                let from = to + self.random.random_range(1..4);
                json!({"ago": {"from": self.unit.span(from), "to": self.unit.span(to)}})
            }
            5 => {
                let last = first + self.random.random_range(1..8);
                let (from, to) = (at(self.base, self.unit, first), at(self.base, self.unit, last));
                match self.random.random_range(0..3) {
                    0 => json!({"between": {"from": from}}),
                    1 => json!({"between": {"to": to}}),
                    _ => json!({"between": {"from": from, "to": to}}),
                }
            }
            _ if !self.calendars => json!({"last": self.span()}),
            kind => {
                let units = ["hour", "hour", "day", "day", "week", "month", "quarter", "year"];
                let (unit, zone) = (units.choose(self.random).unwrap(), ZONES.choose(self.random).unwrap());
                match kind {
                    6 => json!({"this": unit, "zone": zone}),
                    7 => json!({"previous": unit, "zone": zone}),
                    _ if *unit == "year" => json!({"previous": unit}),
                    _ => json!({"previous": unit, "count": self.random.random_range(1..4), "zone": zone}),
                }
            }
        }
    }

    fn count(&mut self, into: &mut Json) {
        let count = self.random.random_range(1..4);
        match self.random.random_range(0..8) {
            0 => into["at_least"] = json!(count),
            1 => into["more_than"] = json!(count - 1),
            2 => into["at_most"] = json!(count - 1),
            3 => into["less_than"] = json!(count),
            4 => into["exactly"] = json!(count - 1),
            5 => {
                into["at_least"] = json!(1);
                into["at_most"] = json!(count);
            }
            _ => {}
        }
    }

    fn filter(&mut self) -> Json {
        let filters = [
            json!({"event": "A"}),
            json!({"event": "B"}),
            json!({"event": "B"}),
            json!({"events": ["A", "B"]}),
            json!({"type": "any"}),
            json!({"type": "page", "event": "A"}),
            json!({"types": ["identify", "group"]}),
        ];
        let mut filter = self.one_of(&filters);
        if self.random.random_bool(0.35) {
            filter["where"] = self.event_test(1);
        }
        filter
    }

    fn event_test(&mut self, depth: u32) -> Json {
        if depth > 0 && self.random.random_bool(0.3) {
            let (one, other) = (self.event_test(0), self.event_test(0));
            return match self.random.random_range(0..3) {
                0 => json!({"all": [one, other]}),
                1 => json!({"any": [one, other]}),
                _ => json!({"not": one}),
            };
        }
        let mut test = self.one_of(&[
            json!({"property": "total"}),
            json!({"property": "total"}),
            json!({"property": "coupon"}),
            json!({"property": "cart"}),
            json!({"property": "shop.city"}),
            json!({"property": "tags"}),
            json!({"property": "spot"}),
            json!({"context": "page.path"}),
            json!({"trait": "plan"}),
        ]);
        self.value_test(&mut test, false);
        test
    }

    fn value_test(&mut self, into: &mut Json, clock: bool) {
        let operands = [
            json!(1),
            json!(0.1),
            json!(2),
            json!("2"),
            json!("pro"),
            json!("Bonn"),
            json!("x"),
            json!("a"),
            json!(true),
            json!(9_007_199_254_740_993_i64),
            json!(""),
        ];
        let operand = self.one_of(&operands);
        let number = self.one_of(&[
            json!(0),
            json!(1),
            json!(2),
            json!(0.3),
            json!(9_007_199_254_740_992_i64),
            json!(-1),
        ]);
        let text = self.one_of(&[
            json!("SPRING"),
            json!("/shop"),
            json!("p"),
            json!("Ü"),
            json!("1"),
            json!("2024-0"),
        ]);
        let moment = iso(self.base + self.random.random_range(-4..8) * self.unit.micros / 2);
        let span = self.span();
        let (key, operand) = match self.random.random_range(0..if clock { 22 } else { 18 }) {
            0 => ("equals", operand),
            1 => ("not_equals", operand),
            2 => ("greater_than", number),
            3 => ("greater_or_equal", number),
            4 => ("less_than", number),
            5 => ("less_or_equal", number),
            6 => ("contains", operand),
            7 => ("contains", text),
            8 => ("starts_with", text),
            9 => ("ends_with", text),
            10 => ("any_of", json!([operand, number])),
            11 => ("none_of", json!([operand, number])),
            12 => ("exists", json!(true)),
            13 => ("exists", json!(false)),
            14 => ("is", json!(true)),
            15 => ("before", json!(moment)),
            16 => ("after", json!(moment)),
            17 => (
                "near",
                json!({"latitude": 52.52, "longitude": 13.405, "metres": self.one_of(&[json!(5000), json!(1000), json!(600_000)])}),
            ),
            18 | 19 => ("within_last", json!(span)),
            _ => ("before_last", json!(span)),
        };
        into[key] = operand;
    }

    fn performed(&mut self) -> Json {
        let mut inner = self.filter();
        if self.random.random_bool(0.8) {
            inner["within"] = self.window();
        }
        if self.random.random_bool(0.2) {
            return json!({"not_performed": inner});
        }
        self.count(&mut inner);
        json!({"performed": inner})
    }

    fn sequence_fields(&mut self) -> Json {
        let (first, then) = (self.filter(), self.filter());
        let mut inner = json!({"first": first});
        let (count, short) = self.short();
        let nothing = self.random.random_bool(0.4);
        inner[if nothing { "then_not" } else { "then" }] = then;
        if nothing || self.random.random_bool(0.5) {
            inner["gap_less_than"] = json!(short);
        }
        if !nothing && self.random.random_bool(0.4) {
            let least = self.random.random_range(1..4);
            if inner.get("gap_less_than").is_none() || least < count {
                inner["gap_at_least"] = json!(self.unit.span(least));
            }
        }
        if self.random.random_bool(0.3) {
            inner["same"] = json!("cart");
        }
        inner
    }

    fn sequence(&mut self) -> Json {
        let mut inner = self.sequence_fields();
        if self.random.random_bool(0.6) {
            inner["within"] = self.window();
        }
        self.count(&mut inner);
        json!({"sequence": inner})
    }

    fn lifecycle(&mut self) -> Json {
        let mut inner = self.filter();
        let (one, other) = (self.span(), self.short().1);
        match self.random.random_range(0..4) {
            0 => {
                inner["stage"] = json!("first_time");
                inner["last"] = json!(one);
            }
            1 => {
                inner["stage"] = json!("regularly");
                inner["every"] = json!(other);
                inner["times"] = json!(self.random.random_range(2..4));
            }
            2 => {
                inner["stage"] = json!("stopped");
                inner["after"] = json!(one);
            }
            _ => {
                inner["stage"] = json!("came_back");
                inner["after"] = json!(other);
                inner["last"] = json!(one);
            }
        }
        json!({"lifecycle": inner})
    }

    fn account(&mut self, depth: u32) -> Json {
        if depth == 0 || self.random.random_bool(0.6) {
            return self.trait_test();
        }
        match self.random.random_range(0..3) {
            0 => json!({"all": [self.account(depth - 1), self.account(depth - 1)]}),
            1 => json!({"any": [self.account(depth - 1), self.account(depth - 1)]}),
            _ => json!({"not": self.account(depth - 1)}),
        }
    }

    fn trait_test(&mut self) -> Json {
        let names = [
            "plan",
            "plan",
            "ends",
            "ends",
            "ends",
            "address.city",
            "home",
            "tags",
            "unsaid",
        ];
        let mut test = json!({"trait": names.choose(self.random).unwrap()});
        if test["trait"] == "ends" {
            let span = self.span();
            match self.random.random_range(0..3) {
                0 => test["within_last"] = json!(span),
                1 => test["before_last"] = json!(span),
                _ => self.value_test(&mut test, true),
            }
        } else {
            self.value_test(&mut test, true);
        }
        test
    }

    fn computed_test(&mut self) -> Json {
        let name = *["one", "two"].choose(self.random).unwrap();
        let mut test = json!({ "computed_trait": name });
        self.value_test(&mut test, true);
        test
    }

    fn computed_trait(&mut self) -> Json {
        let functions = [
            "count",
            "sum",
            "sum",
            "average",
            "average",
            "min",
            "max",
            "first",
            "last",
            "most_frequent",
            "unique_list",
            "unique_count",
        ];
        let function = *functions.choose(self.random).unwrap();
        let mut spec = if function == "count" && self.random.random_bool(0.5) {
            json!({"sequence": self.sequence_fields()})
        } else {
            self.filter()
        };
        spec["function"] = json!(function);
        if function != "count" {
            spec["property"] = json!(
                ["total", "total", "total", "cart", "coupon"]
                    .choose(self.random)
                    .unwrap()
            );
        }
        if self.random.random_bool(0.7) {
            spec["window"] = self.window();
        }
        spec
    }
}
