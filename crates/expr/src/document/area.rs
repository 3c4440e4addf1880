//! Circles on the earth as documents: `{latitude: 52.52, longitude: 13.405, metres: 5000}`.

use super::{Beside, DocumentError, check_keys, error, object_of, value_of_json, with_keys};
use crate::{Area, MAX_METRES};
use kith_types::{Decimal, Object, Value};
use serde_json::Value as Json;

const KEYS: [&str; 3] = ["latitude", "longitude", "metres"];

pub(super) fn area_of(json: &Json) -> Result<Area, DocumentError> {
    let example = "write `{ latitude: 52.52, longitude: 13.405, metres: 5000 }`";
    let fields = object_of(json).map_err(|error| error.hint(example))?;
    let number = |key: &str| -> Result<Decimal, DocumentError> {
        let json = fields
            .get(key)
            .ok_or_else(|| DocumentError::new(format!("`{key}` is missing")).hint(example))?;
        match value_of_json(json).map_err(|error| error.within(key))? {
            Value::Number(number) => Ok(number),
            _ => {
                let problem = format!("expected a number, found {}", error::kind_of(json));
                Err(DocumentError::new(problem).within(key))
            }
        }
    };
    let read = number(KEYS[0]).beside(number(KEYS[1])).beside(number(KEYS[2]));
    let area = read.and_then(|((latitude, longitude), metres)| {
        Area::new(latitude, longitude, metres).ok_or_else(|| {
            DocumentError::new(format!(
                "no such area: latitudes go from -90 to 90, longitudes from -180 to 180, and `metres` is above 0 and at most {MAX_METRES}"
            ))
        })
    });
    with_keys(check_keys(fields, &KEYS), area)
}

pub(super) fn area_value(area: &Area) -> Value {
    let numbers = [area.latitude(), area.longitude(), area.metres()];
    let fields = KEYS.iter().zip(numbers);
    Value::Object(
        fields
            .map(|(key, number)| ((*key).into(), Value::Number(number)))
            .collect::<Object>(),
    )
}
