//! `kith bench`: measures this machine; the benches are in [`crate::bench`].

pub(crate) use crate::bench::{BenchArgs, run};
