#!/usr/bin/env bash
# Licences, bans and sources of every dependency, by cargo-deny (installed into the cache when absent).
set -euo pipefail
cd "$(dirname "$0")/.."

deny_version=0.20.2
cache=${TASKSGODZILLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tasksgodzilla}
export PATH=$PATH:$cache/tools/bin
if ! command -v cargo-deny >/dev/null 2>&1; then
    echo "deny: installing cargo-deny $deny_version (once)" >&2
    cargo install cargo-deny --version "$deny_version" --locked --quiet --root "$cache/tools"
fi
cargo deny --locked check bans licenses sources
