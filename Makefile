# The usual ways into the project; `make help` lists them.
CARGO ?= cargo
.DEFAULT_GOAL := help
.PHONY: help build run test outages lint fmt deny bench instructions compare schema

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 21

build: ## the optimised binary, target/release/ringway
	$(CARGO) build --release --locked

run: ## the demo: three services, the proxy in front, a live table
	$(CARGO) run --release --locked -- demo

test: ## everything: unit, properties, fuzz corpus, end to end (installs its peers first)
	tests/setup
	$(CARGO) build --workspace --locked
	$(CARGO) test --workspace --locked -- --test-threads 8
	/usr/bin/python3 -m unittest discover -q perf

outages: ## an API server away for ten minutes: refused, dropped, killed, silent (over half an hour)
	RINGWAY_OUTAGE_SECONDS=$${RINGWAY_OUTAGE_SECONDS:-600} $(CARGO) test --locked -p ringway-tests \
		--test kube_outages -- --nocapture refuses black_hole is_killed falls_silent

lint: ## clippy over all targets; a warning is an error
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format the sources in place
	$(CARGO) fmt --all

deny: ## licences, advisories, duplicates and sources of dependencies
	.ci/run deny

bench: ## what each piece of a request costs in time (criterion); CASE=route for some of it
	$(CARGO) bench --locked -p ringway-benches --bench time -- $(CASE)

instructions: ## the same in instructions (valgrind), compared with the committed figures
	$(CARGO) run --release --locked -p ringway-benches --bin instructions -- $(CASE)

# Allocations are counted by a build of its own, in a directory of its own.
counted = $(or $(CARGO_TARGET_DIR),target)/counted
compare: build ## ringway beside HAProxy, nginx, Envoy and Pingora (about 28 minutes)
	perf/setup
	$(CARGO) build --release --locked -p ringway-load
	$(CARGO) build --profile quick --locked -p ringway --features count-allocations \
		--target-dir $(counted)
	perf/compare.py --counted $(counted)/quick/ringway

schema: ## write the schema and reference of ringway.yaml anew from the code
	UPDATE_SCHEMA=1 $(CARGO) test --locked -p ringway-config
