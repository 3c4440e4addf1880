//! A circle on the earth, and whether a place lies in it.
//!
//! The earth is a sphere of the mean radius that the IUGG states, and the distance is that of the haversine formula
//! (Sinnott, Virtues of the Haversine, 1984): off by half a percent at most from the true one. All functions that are
//! not exact by IEEE 754 come from `libm`, so every machine gives the same bits.

use kith_types::{Decimal, Value};

/// The earth's mean radius in metres.
const EARTH_RADIUS: f64 = 6_371_008.8;
/// Half the earth's circumference in metres: no two places lie further apart.
pub const MAX_METRES: i64 = 20_015_115;

/// The names under which a place has its coordinates.
const LATITUDE: [&str; 2] = ["latitude", "lat"];
const LONGITUDE: [&str; 3] = ["longitude", "lon", "lng"];

/// All places that lie no further than so many metres from a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    latitude: Decimal,
    longitude: Decimal,
    metres: Decimal,
}

impl Area {
    /// The circle around a point, in degrees. `None` when there is no such point, or no such distance.
    #[must_use]
    pub fn new(latitude: Decimal, longitude: Decimal, metres: Decimal) -> Option<Self> {
        let most = Decimal::from(MAX_METRES);
        let possible = metres > Decimal::ZERO && metres <= most;
        (degrees(&latitude, 90).is_some() && degrees(&longitude, 180).is_some() && possible).then_some(Self {
            latitude,
            longitude,
            metres,
        })
    }

    /// The point's latitude in degrees, north positive.
    #[must_use]
    pub fn latitude(&self) -> Decimal {
        self.latitude
    }

    /// The point's longitude in degrees, east positive.
    #[must_use]
    pub fn longitude(&self) -> Decimal {
        self.longitude
    }

    /// How far away a place may lie, that distance included.
    #[must_use]
    pub fn metres(&self) -> Decimal {
        self.metres
    }

    /// Whether the value is a place within the circle: an object with the numbers `latitude` (or `lat`) and `longitude`
    /// (or `lon`, `lng`) in degrees. Anything else is no place, and in no circle.
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        let coordinate = |names: &[&str], most| {
            let found = names.iter().find_map(|name| value.get(name)?.as_number());
            degrees(&found?, most)
        };
        let (Some(latitude), Some(longitude)) = (coordinate(&LATITUDE, 90), coordinate(&LONGITUDE, 180)) else {
            return false;
        };
        let centre = (self.latitude.to_f64(), self.longitude.to_f64());
        distance(centre, (latitude, longitude)) <= self.metres.to_f64()
    }
}

/// A number of degrees whose size is at most `most`.
fn degrees(number: &Decimal, most: i64) -> Option<f64> {
    let bounds = Decimal::from(-most)..=Decimal::from(most);
    bounds.contains(number).then(|| number.to_f64())
}

/// Metres between two places, given as latitude and longitude in degrees.
fn distance(one: (f64, f64), other: (f64, f64)) -> f64 {
    const RADIANS: f64 = std::f64::consts::PI / 180.0;
    let half_square = |from: f64, to: f64| {
        let sine = libm::sin((to - from) * RADIANS / 2.0);
        sine * sine
    };
    let cosines = libm::cos(one.0 * RADIANS) * libm::cos(other.0 * RADIANS);
    let haversine = half_square(one.0, other.0) + cosines * half_square(one.1, other.1);
    2.0 * EARTH_RADIUS * libm::asin(libm::sqrt(if haversine < 1.0 { haversine } else { 1.0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn place(fields: &[(&str, &str)]) -> Value {
        let number = |text: &str| Value::Number(decimal(text));
        Value::Object(fields.iter().map(|(key, text)| ((*key).into(), number(text))).collect())
    }

    const BERLIN: (f64, f64) = (52.52, 13.405);
    const MUNICH: (f64, f64) = (48.1351, 11.582);

    #[test]
    fn seg_1_distances_have_the_same_bits_everywhere() {
        let places = [
            (BERLIN, MUNICH, 504_416),
            (BERLIN, BERLIN, 0),
            ((0.0, 179.999), (0.0, -179.999), 222),
            ((90.0, 0.0), (-90.0, 12.0), 20_015_114),
            ((-33.8688, 151.2093), (51.5074, -0.1278), 16_993_957),
        ];
        let bits = places.map(|(one, other, metres)| {
            let distance = distance(one, other);
            assert_eq!(libm::round(distance) as i64, metres, "{one:?} {other:?}");
            format!("{:016x}", distance.to_bits())
        });
        assert_eq!(
            bits,
            [
                "411ec9801ccdb83b",
                "0000000000000000",
                "406bcc7c31cfd352",
                "41731680a7129443",
                "417034ea4eecd109"
            ]
        );
    }

    #[test]
    fn seg_1_an_area_holds_places_up_to_its_radius() {
        let around = |metres: &str| Area::new(decimal("52.52"), decimal("13.405"), decimal(metres)).unwrap();
        let munich = place(&[("latitude", "48.1351"), ("longitude", "11.582")]);
        assert!(around("504417").contains(&munich));
        assert!(!around("504416").contains(&munich));
        // The distance itself is included.
        let metres = distance(BERLIN, MUNICH);
        assert!(around(&format!("{metres:?}")).contains(&munich));
        for names in [("lat", "lon"), ("lat", "lng"), ("latitude", "lng")] {
            assert!(around("1").contains(&place(&[(names.0, "52.52"), (names.1, "13.405")])));
        }
        for no_place in [
            Value::Null,
            Value::from("52.52,13.405"),
            place(&[("latitude", "52.52")]),
            place(&[("latitude", "91"), ("longitude", "0")]),
            place(&[("latitude", "0"), ("longitude", "180.1")]),
            Value::Object(vec![
                ("lat".into(), Value::from("52.52")),
                ("lon".into(), Value::from("13.405")),
            ]),
        ] {
            assert!(!around("20015115").contains(&no_place), "{no_place:?}");
        }
        for (latitude, longitude, metres) in [
            ("91", "0", "1"),
            ("0", "-181", "1"),
            ("0", "0", "0"),
            ("0", "0", "20015116"),
        ] {
            assert_eq!(Area::new(decimal(latitude), decimal(longitude), decimal(metres)), None);
        }
    }
}
