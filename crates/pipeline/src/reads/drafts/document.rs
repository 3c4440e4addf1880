//! The answers as JSON, for the API and the command line.

use super::{Estimate, Impact, SegmentImpact, Shown, ValueImpact};
use crate::reads::Overlap;
use serde_json::{Map, Value as Json, json};

impl Impact {
    /// The answer as a JSON object: every count is exact.
    #[must_use]
    pub fn to_document(&self) -> Json {
        let exactly = |count: u64| (count, None);
        let mut fields = head(self, self.people, self.people);
        fields.insert("exact".to_owned(), Json::from(true));
        body(self, &exactly, &mut fields);
        if let Some(identity) = &self.identity {
            fields.insert("identity".to_owned(), identity.to_document());
        }
        Json::Object(fields)
    }
}

impl Estimate {
    /// The answer as a JSON object: counts stand for all people, and beside each stands what it lies between.
    #[must_use]
    pub fn to_document(&self) -> Json {
        let asked = self.of_sample.people;
        let mut fields = head(&self.of_sample, self.people, asked);
        fields.insert("exact".to_owned(), Json::from(asked >= self.people));
        if asked < self.people {
            fields.insert("confidence".to_owned(), Json::from(0.95));
        }
        let scaled = |count: u64| {
            let (value, low, high) = self.of_all(count);
            (value, (asked < self.people).then_some((low, high)))
        };
        body(&self.of_sample, &scaled, &mut fields);
        Json::Object(fields)
    }
}

impl Overlap {
    /// The answer as a JSON object.
    #[must_use]
    pub fn to_document(&self) -> Json {
        let pairs = self.sizes.iter().enumerate().flat_map(|(at, (one, size))| {
            let others = self.sizes[at + 1..].iter();
            others.map(move |(other, of_other)| {
                json!({
                    "segments": [one.as_str(), other.as_str()],
                    "people": self.in_all(&[one, other]),
                    "of_first": share(self.in_all(&[one, other]), *size),
                    "of_second": share(self.in_all(&[one, other]), *of_other),
                })
            })
        });
        let regions = self.regions.iter().map(|region| {
            let within: Vec<&str> = region.within.iter().map(|name| name.as_str()).collect();
            json!({"only_in": within, "people": region.people})
        });
        let sizes = self.sizes.iter();
        json!({
            "segments": sizes.map(|(name, size)| json!({"name": name.as_str(), "size": size})).collect::<Vec<_>>(),
            "in_any": self.regions.iter().map(|region| region.people).sum::<u64>(),
            "pairs": pairs.collect::<Vec<_>>(),
            "regions": regions.collect::<Vec<_>>(),
        })
    }
}

/// A share from 0 to 1, of four places.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn share(of: u64, all: u64) -> f64 {
    (of as f64 / all.max(1) as f64 * 10_000.0).round() / 10_000.0
}

type Scaled<'a> = dyn Fn(u64) -> (u64, Option<(u64, u64)>) + 'a;

fn head(impact: &Impact, people: u64, asked: u64) -> Map<String, Json> {
    let mut fields = Map::new();
    fields.insert("as_of".to_owned(), Json::from(impact.as_of.to_string()));
    fields.insert("people".to_owned(), Json::from(people));
    fields.insert("asked".to_owned(), Json::from(asked));
    fields
}

fn body(impact: &Impact, scaled: &Scaled<'_>, fields: &mut Map<String, Json>) {
    let segments: Vec<Json> = impact.segments.iter().map(|one| segment(one, scaled)).collect();
    fields.insert("segments".to_owned(), Json::Array(segments));
    let computed: Vec<Json> = impact.computed_traits.iter().map(|one| value(one, scaled)).collect();
    if !computed.is_empty() {
        fields.insert("computed_traits".to_owned(), Json::Array(computed));
    }
    if let Some(traits) = impact.traits {
        let mut changed = Map::new();
        put(&mut changed, "changes", traits, scaled);
        fields.insert("traits".to_owned(), Json::Object(changed));
    }
}

fn put(fields: &mut Map<String, Json>, key: &str, count: u64, scaled: &Scaled<'_>) {
    let (value, range) = scaled(count);
    fields.insert(key.to_owned(), Json::from(value));
    if let Some((low, high)) = range {
        fields.insert(format!("{key}_range"), json!([low, high]));
    }
}

fn segment(impact: &SegmentImpact, scaled: &Scaled<'_>) -> Json {
    let mut fields = Map::new();
    fields.insert("name".to_owned(), Json::from(impact.name.as_str()));
    for (key, count) in [("size", impact.after), ("size_before", impact.before)] {
        match count {
            Some(count) => put(&mut fields, key, count, scaled),
            None => drop(fields.insert(key.to_owned(), Json::Null)),
        }
    }
    put(&mut fields, "enters", impact.enters, scaled);
    put(&mut fields, "leaves", impact.leaves, scaled);
    if impact.renamed > 0 {
        put(&mut fields, "renamed", impact.renamed, scaled);
    }
    put(&mut fields, "approximate", impact.approximate, scaled);
    let overlaps = impact.beside.iter().map(|(name, both)| {
        let mut one = Map::from_iter([("segment".to_owned(), Json::from(name.as_str()))]);
        put(&mut one, "people", *both, scaled);
        Json::Object(one)
    });
    fields.insert("overlaps".to_owned(), overlaps.collect());
    let lists = [
        ("members", &impact.members),
        ("entering", &impact.entering),
        ("leaving", &impact.leaving),
    ];
    for (key, list) in lists {
        fields.insert(key.to_owned(), list.iter().map(shown).collect());
    }
    Json::Object(fields)
}

fn shown(person: &Shown) -> Json {
    let identifiers: Vec<String> = person.identifiers.iter().map(ToString::to_string).collect();
    json!({"id": person.id.to_string(), "identifiers": identifiers})
}

fn value(impact: &ValueImpact, scaled: &Scaled<'_>) -> Json {
    let mut fields = Map::from_iter([("name".to_owned(), Json::from(impact.name.as_str()))]);
    put(&mut fields, "changes", impact.changes, scaled);
    Json::Object(fields)
}
