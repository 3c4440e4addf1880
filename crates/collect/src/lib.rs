//! The doors: the HTTP collection API that stock SDKs speak.
//!
//! [`router`] gives an axum router with every route of Segment's and RudderStack's SDKs. A body is read under a bound,
//! decoded, judged by `kith-clean` and appended to the log whole, byte for byte; the answer is 200 only once it is
//! durable. Who a write key belongs to is asked through [`Sources`]; the adapter lives in the binary. The doors never
//! change a body, never keep a credential, and never hold more bodies than their bound allows.

mod body;
mod budget;
mod credentials;
mod doors;
mod pixel;
mod ports;
mod rate;
mod reply;
mod routes;
mod sdk_settings;

pub use doors::{Doors, DoorsConfig};
pub use ports::{AppendError, Appender, Appending, KeyVerdict, Sources};
pub use rate::{SpaceDoorLimits, SpaceRates};
pub use routes::{Door, paths, router};

#[cfg(test)]
mod tests;
