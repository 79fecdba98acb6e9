#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: bubblewrap, the Postgres 15 server programs, the
# pinned Codex command line and the pinned Schemathesis. What is already there is left alone, so a second
# run needs no network. Standard output holds NAME=value lines for the tests; the rest goes to stderr.
set -euo pipefail

codex_version=0.169.0
cache=${TASKSGODZILLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tasksgodzilla}
codex_home=$cache/codex-$codex_version
schemathesis_version=4.32.5
schemathesis_home=$cache/schemathesis-$schemathesis_version
codex_binary=$codex_home/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 3; }
have() { command -v "$1" >/dev/null 2>&1; }

# The tests look where Debian puts the server programs, which are not on the search path.
have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

packages=()
have git || packages+=(git)
have bwrap || packages+=(bubblewrap)
have_postgres || packages+=(postgresql)
if [ ! -x "$schemathesis_home/bin/schemathesis" ]; then
    have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
fi
if [ ! -x "$codex_binary" ] && [ -z "${TASKSGODZILLA_TEST_CODEX_BIN:-}" ]; then
    have npm || packages+=(npm)
fi
if [ ${#packages[@]} -gt 0 ]; then
    have apt-get || fail "missing: ${packages[*]}; install them with this system's package manager"
    sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "missing: ${packages[*]}; run as root: apt-get install ${packages[*]}"
        sudo=(sudo -n)
    fi
    say "installing ${packages[*]}"
    "${sudo[@]}" apt-get update -qq >&2 || fail "apt-get update failed; is there a network?"
    # Version 15 where it is to be had, else the one of this system.
    if apt-cache show postgresql-15 >/dev/null 2>&1; then packages=("${packages[@]/%postgresql/postgresql-15}"); fi
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${packages[@]}" >&2 || fail "apt-get could not install ${packages[*]}"
fi

if [ ! -x "$schemathesis_home/bin/schemathesis" ]; then
    say "installing schemathesis $schemathesis_version into $schemathesis_home"
    mkdir -p "$cache"
    # The programs of a virtual environment know its place, so it is made there and not moved.
    rm -rf "$schemathesis_home"
    python3 -m venv "$schemathesis_home" >&2 || fail "python3 cannot make a virtual environment"
    "$schemathesis_home/bin/python" -m pip install --quiet --disable-pip-version-check \
        "schemathesis==$schemathesis_version" >&2 || {
        rm -rf "$schemathesis_home"
        fail "pip could not install schemathesis $schemathesis_version"
    }
fi
"$schemathesis_home/bin/schemathesis" --version >&2 || {
    rm -rf "$schemathesis_home"
    fail "schemathesis does not start; try again"
}
echo "TASKSGODZILLA_TEST_SCHEMATHESIS=$schemathesis_home/bin/schemathesis"

# A binary named by the caller wins over the pinned one.
if [ -n "${TASKSGODZILLA_TEST_CODEX_BIN:-}" ]; then
    [ -x "$TASKSGODZILLA_TEST_CODEX_BIN" ] || fail "TASKSGODZILLA_TEST_CODEX_BIN is not executable"
    echo "TASKSGODZILLA_TEST_CODEX_BIN=$TASKSGODZILLA_TEST_CODEX_BIN"
    exit 0
fi

if [ ! -x "$codex_binary" ]; then
    say "installing @openai/codex@$codex_version into $codex_home"
    mkdir -p "$cache"
    # Installed beside its place and moved in whole: an interrupted install is never taken for a good one.
    part=$(mktemp -d "$cache/codex-install.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    (cd "$part" && npm install --prefix . --no-audit --no-fund --ignore-scripts --loglevel=error \
        "@openai/codex@$codex_version" >&2) || fail "npm could not install @openai/codex@$codex_version"
    rm -rf "$codex_home"
    mv -T "$part" "$codex_home"
fi
[ -x "$codex_binary" ] || fail "the Codex package holds no $codex_binary; is this x86-64 Linux?"
"$codex_binary" --version >&2 || fail "Codex does not start; remove $codex_home and try again"
echo "TASKSGODZILLA_TEST_CODEX_BIN=$codex_binary"
