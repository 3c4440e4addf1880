# The front door. `make demo` shows Kith at work; `make test` proves it.

CACHE ?= $(CURDIR)/.cache
VENV := $(CACHE)/venv
export CACHE
export KITH_PYTHON := $(VENV)/bin/python

.PHONY: demo test soak check fmt bench release deny peers web clean

demo: web peers-demo
	cargo build -p kith
	cargo run -q -p kith -- demo $(DEMO)

test: peers web
	cargo xtask check
	npm --silent --prefix web/shop run check
	KITH_PEERS=1 cargo test --workspace --no-fail-fast
	cargo build -p kith
	tests/peers/run

# Random histories and orders for as long as you like: KITH_WORLDS of segments from seed KITH_SEED on, some of them through the
# tables, and KITH_SOAK times the worlds of identity, folds and vetoes (5: more than ten thousand permutations of each);
# the server is killed KITH_KILLS times at each kind of work. A failure prints its seed.
soak: export KITH_WORLDS ?= 20000
soak: export KITH_SEED ?= 1000
soak: export KITH_SOAK ?= 5
soak: export KITH_KILLS ?= 20
soak: peers
	cargo test -p kith-identity idn_3_
	cargo test -p kith-profile -- pro_1_ pro_2_
	cargo test -p kith-pipeline idn_3_
	cargo test -p kith-pipeline idn_2_
	cargo test -p kith-pipeline idn_6_
	cargo test -p kith-pipeline seg_4_ -- --nocapture
	cargo test -p kith-publish seg_4_ -- --nocapture
	cargo test -p kith-pipeline idn_4_ -- --ignored
	cargo build -p kith
	tests/peers/run tests/peers/kills.test.mjs

check: web
	cargo fmt --all --check
	cargo xtask check
	npm --silent --prefix web/shop run check
	cargo clippy --workspace --all-targets -- -D warnings

fmt:
	cargo fmt --all

bench:
	tests/bench/run

release:
	cargo build --release -p kith

deny:
	cargo deny check

# What the tests meet: stock SDKs, a mail server, a browser, other engines that read our tables.
peers:
	tests/peers/install all

peers-demo:
	tests/peers/install demo

web:
	tests/peers/install web
