#!/usr/bin/env bash
# Runs the gates of the project; `bash test.sh --help` says which.
#
# The development environment lives outside the tree. Nothing needs to be installed beforehand but Python.
set -euo pipefail

CHAOS_SEEDS=12
CHAOS_MINUTES=2.5 # One storm and one healing.
BLAME_SEEDS=6
BLAME_MINUTES=10

usage() {
    cat <<'TEXT'
usage: bash test.sh [--fast | --coverage | --help | arguments of pytest]

  (nothing)      every gate: format, lint, types, import contracts, all tests, fresh seeds of chaos and blame
                 (about 35 minutes on two cores, and the time to build the engine and its tools, once)
  --fast         format, lint, types, import contracts and unit tests, without the engine
                 (about three minutes on two cores with warm caches)
  --coverage     the lines of the pure packages that their unit tests do not run
  --help         this text
  anything else  goes to pytest, and the other gates but the seeds run as well:
                 bash test.sh tests/leader -k gguf

Which test belongs to which tier is decided in tests/tiers.py.
TEXT
}

say() {
    if [ -t 2 ]; then printf '\033[1m== %s\033[0m\n' "$*" >&2; else printf '== %s\n' "$*" >&2; fi
}

# The first bytes of a digest of this checkout's path: two checkouts do not share an environment.
path_digest() { printf '%s' "$1" | cksum | cut -d' ' -f1; }

gate() {
    local name=$1 began=$SECONDS
    shift
    say "$name"
    if "$@"; then
        say "$name: ok ($((SECONDS - began)) s)"
    else
        local status=$?
        say "$name: FAILED with exit code $status after $((SECONDS - began)) s"
        return "$status"
    fi
}

# The lab's hosts are network namespaces; without `ip` (or without root) its tests fall back to 127.x.y.z.
install_system_packages() {
    if command -v ip >/dev/null || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        return 0
    fi
    say "installing iproute2 for the lab"
    apt-get install -y --no-install-recommends iproute2 >&2 ||
        { apt-get update >&2 && apt-get install -y --no-install-recommends iproute2 >&2; } ||
        say "iproute2 could not be installed: the lab falls back to 127.x.y.z"
}

enter_environment() {
    local uv
    uv=$(bash join_pool.sh --bootstrap-uv)
    export UV_PROJECT_ENVIRONMENT=${UV_PROJECT_ENVIRONMENT:-${XDG_CACHE_HOME:-$HOME/.cache}/frankenstein-mesh/dev-$(path_digest "$(pwd -P)")}
    # An activated environment of something else would only make uv warn; tests that are not cached start slowly.
    unset VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
    gate "environment" "$uv" sync --frozen --quiet
    export PATH=$UV_PROJECT_ENVIRONMENT/bin:$PATH
}

checks() {
    gate "ruff check" ruff check .
    gate "ruff format" ruff format --check .
    gate "mypy" mypy
    gate "import contracts" lint-imports
}

# Two processes share the tests that need no machine for themselves.
beside_each_other() { pytest -n 2 --dist worksteal -m "$1"; }

# Seeds that nobody tried before. What fails names its seed and how to see it again.
fresh_seeds() {
    local first
    first=$(python -c "import random; print(random.SystemRandom().randrange(10**7, 10**9))")
    set -- python -m simulations "$1" --first-seed "$first" --seeds "$2" --minutes "$3"
    say "$*"
    "$@" --jobs 2 --check
}

every_gate() {
    install_system_packages
    enter_environment
    gate "engine" python -m mesh.engine
    gate "the engine's tools for tests" python -m tests.oracle.build
    checks
    if [ $# -gt 0 ]; then
        gate "pytest" pytest "$@"
        return
    fi
    gate "tests beside each other" beside_each_other "not alone"
    gate "tests that run alone" pytest -m alone
    gate "chaos" fresh_seeds chaos "$CHAOS_SEEDS" "$CHAOS_MINUTES"
    gate "blame" fresh_seeds blame "$BLAME_SEEDS" "$BLAME_MINUTES"
}

main() {
    cd "$(dirname "${BASH_SOURCE[0]}")"
    case ${1-} in
    --help | -h)
        usage
        return
        ;;
    --fast)
        enter_environment
        checks
        gate "unit tests" beside_each_other unit
        ;;
    --coverage)
        enter_environment
        gate "coverage" python -m tests.coverage
        ;;
    *)
        every_gate "$@"
        ;;
    esac
    say "all gates passed in $SECONDS s"
}

main "$@"
