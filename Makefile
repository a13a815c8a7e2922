# The doors of the project. `make demo` and `make test` install what they lack (scripts/setup).

.DEFAULT_GOAL := help
.PHONY: help demo test check build release conformance attack bench clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the gateway with everything embedded, and a conversation with it
	scripts/setup build
	cargo run --locked -- demo

test: ## all tests, against private PostgreSQL and Redis servers
	scripts/setup test
	scripts/test

check: ## format, lints, documentation, dependencies, shell scripts
	scripts/setup lint
	scripts/check

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

bench: ## CPU per request: checked against anonymous
	scripts/setup build
	benches/checked_vs_anonymous.py

clean: ## what was built
	cargo clean
