//! Generators, faults and conformance suites for tests, benches and the demo.
