# One line per target: what it needs and which script or command does it. Each target does all of
# its own set-up, so it works in a fresh clone on a fresh machine.

CARGO ?= cargo
BIN = $(CARGO) run --quiet --locked --package tasksgodzilla --

.PHONY: demo test check bench fmt migrate orchestrator-setup bless build lint clippy deny setup

demo: ; $(BIN) demo

test: ; scripts/test.sh

check: lint test deny

lint: clippy ; $(CARGO) fmt --all --check

clippy: ; $(CARGO) clippy --workspace --all-targets --features tasksgodzilla/failpoints --locked -- -D warnings

deny: ; scripts/deny.sh

build: ; $(CARGO) build --workspace --locked

bench: ; $(CARGO) bench --quiet --locked --package tasksgodzilla --bench figures

fmt: ; $(CARGO) fmt --all

migrate: ; $(BIN) migrate

setup: ; scripts/setup.sh

orchestrator-setup: setup migrate

bless: ; TASKSGODZILLA_BLESS=1 INSTA_UPDATE=always scripts/test.sh
