# The doors of the project. Each installs what it lacks (scripts/setup).

.DEFAULT_GOAL := help
.PHONY: help demo test e2e metrics-check check deploy-check build release conformance attack fuzz bench bench-count plots importbench clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the gateway with everything embedded, and a conversation with it
	scripts/setup build
	cargo run --locked -- demo

test: ## all tests, against private PostgreSQL and Redis servers
	scripts/setup test
	scripts/test

e2e: ## real clients and real back ends, and every command of the documents
	scripts/setup e2e
	scripts/e2e

metrics-check: ## metrics, alerts and dashboard against a running gateway and a real Prometheus
	scripts/setup metrics
	scripts/metrics-check

check: ## format, lints, documentation, dependencies, shell scripts
	scripts/setup lint
	scripts/check

deploy-check: ## what deploys it: chart, kustomization, compose file, image, unit, Debian package, by real tools
	scripts/setup deploy
	scripts/deploy-check

build: ## the binary, quickly built
	scripts/setup build
	cargo build --locked

release: ## the binary as it is shipped
	scripts/setup build
	cargo build --locked --release

conformance: ## djoser's recorded behaviour, every scenario of every profile
	scripts/setup test
	scripts/conformance all --strict

attack: ## the whole attack kit (some minutes)
	scripts/setup test
	scripts/attack

fuzz: ## paths, credentials, JWTs, bodies and configuration from strangers, a minute each
	scripts/setup build
	scripts/fuzz

bench: ## CPU per request, beside a bare Pingora proxy and the other gateways that are installed
	scripts/setup bench
	benches/compare/run.py

bench-count: ## instructions per request, compared with the kept baseline
	scripts/setup count
	benches/count.py

plots: ## pictures of the results that are kept, for docs/PERFORMANCE.md
	scripts/setup bench
	benches/plots.py

importbench: release ## a million users out of a Django database: time and memory
	scripts/import-bench

clean: ## what was built
	cargo clean
