#!/usr/bin/env bash
# CI stage typecheck: Compiles every target with warnings as errors. The make target does the work, here and on a desk.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec make clippy
