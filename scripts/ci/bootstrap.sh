#!/usr/bin/env bash
# CI stage bootstrap: Brings the machine to where the other stages work. The make target does the work, here and on a desk.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec make setup
