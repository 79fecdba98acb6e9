#!/usr/bin/env bash
# CI stage lint: Format and lints. The make target does the work, here and on a desk.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec make lint
