#!/usr/bin/env bash
# The whole test suite, with everything it can use present: nothing is skipped here.
# Prints the number of tests at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(scripts/setup.sh)
while IFS='=' read -r name value; do export "$name=$value"; done <<<"$tools"
export TASKSGODZILLA_TEST_REQUIRE=postgres,bwrap,codex,schemathesis

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The binary under test carries the fail points of the crash tests; a shipped build does not.
failed=0
cargo test --workspace --locked --lib --bins --tests --examples \
    --features tasksgodzilla/failpoints --no-fail-fast -- "$@" 2>&1 | tee "$log" || failed=1
# Traces are a feature of their own; its libraries are built for this alone.
cargo test --locked -p tg-server --features otlp --test it -- otlp:: 2>&1 | tee -a "$log" || failed=1
cargo test --workspace --locked --features tasksgodzilla/failpoints --doc 2>&1 | tee -a "$log" || failed=1

awk '/^test result:/ { passed += $4; failed += $6; ignored += $8; suites += 1 }
     END { printf "\ntests: %d passed, %d failed, %d ignored in %d suites\n", passed, failed, ignored, suites }' "$log"
exit "$failed"
