#!/usr/bin/env bash
# CI stage test: The whole test suite. The make target does the work, here and on a desk.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec make test
