#!/usr/bin/env bash
# Runs every gate of the project: formatting, lint, types, import contracts, tests.
#
#   bash test.sh                        everything
#   bash test.sh tests/leader -k gguf   arguments go to pytest; the other gates still run
#
# The development environment lives outside the tree. Nothing needs to be installed beforehand but Python.
set -euo pipefail

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

main() {
    cd "$(dirname "${BASH_SOURCE[0]}")"
    local root uv
    root=$(pwd -P)
    uv=$(bash join_pool.sh --bootstrap-uv)
    export UV_PROJECT_ENVIRONMENT=${UV_PROJECT_ENVIRONMENT:-${XDG_CACHE_HOME:-$HOME/.cache}/frankenstein-mesh/dev-$(path_digest "$root")}
    # An activated environment of something else would only make uv warn.
    unset VIRTUAL_ENV

    install_system_packages
    gate "environment" "$uv" sync --frozen --quiet
    export PATH=$UV_PROJECT_ENVIRONMENT/bin:$PATH
    gate "engine" python -m mesh.engine
    gate "ruff check" ruff check .
    gate "ruff format" ruff format --check .
    gate "mypy" mypy
    gate "import contracts" lint-imports
    gate "pytest" pytest "$@"
    say "all gates passed in $SECONDS s"
}

main "$@"
