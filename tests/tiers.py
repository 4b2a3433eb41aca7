"""The tiers of the tests: which test runs when, and which beside others. Decided here alone.

``unit``: what ``bash test.sh --fast`` runs, in about a minute.
``alone``: several programs on a whole machine, with limits of time. One after another, without neighbours.

All other tests run beside each other, in two processes.
"""

from collections.abc import Iterable

import pytest

MARKERS = {
    "unit": "runs in the fast tier",
    "alone": "needs the machine for itself",
}
ALONE = (
    "tests/e2e/",
    "tests/lab/",
    "tests/benchmarks/",
)
_ENGINE_OR_HOSTS = frozenset({"engine", "lab", "oracle"})
"""Fixtures that start the real llama.cpp or its tools, or network namespaces with whole nodes."""
LONG = {
    "tests/fuzz/test_harnesses.py": "thousands of damaged inputs for every decoder",
    "tests/mesh/engine/install/test_build.py": "compiles",
    "tests/mesh/engine/install/test_toolchain.py": "compiles",
    "tests/mesh/engine/test_main.py": "compiles",
    "tests/mesh/hub/downloader/test_description.py": "starts the hub's process again and again",
    "tests/mesh/hub/downloader/test_hub_downloads.py": "starts the hub's process again and again",
    "tests/mesh/hub/downloader/test_url_downloads.py": "starts the hub's process again and again",
    "tests/simulations/measures/test_commands.py": "measures whole pools",
    "tests/simulations/measures/falsedeaths/test_episodes.py": "follows thousands of probes",
    "tests/simulations/measures/test_ready_pool.py": "simulates hundreds of members",
    "tests/simulations/measures/test_report.py": "measures all there is to measure",
    "tests/simulations/test_chaos.py": "simulates minutes of faults, seed after seed",
    "tests/simulations/test_chaos_commands.py": "simulates minutes of faults, seed after seed",
    "tests/simulations/test_liars.py": "simulates pools with liars",
    "tests/simulations/test_mutants.py": "searches seeds for a violation",
    "tests/simulations/test_shrink.py": "runs a failing seed again and again",
    "tests/simulations/test_world.py": "simulates minutes of whole pools",
    "tests/simulations/test_world_with_rules.py": "simulates what Hypothesis thinks of",
    "tests/test_join_pool.py": "installs packages",
}
"""Files outside the fast tier, and what takes their time."""


def register(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")


def mark(item: pytest.Item) -> None:
    """Give a test the marker of its tier, if it has one."""
    marker = tier(item.nodeid.partition("::")[0], getattr(item, "fixturenames", ()))
    if marker:
        item.add_marker(marker)


def tier(file: str, fixtures: Iterable[str]) -> str:
    """The tier of a test, by its file (from the root of the checkout) and its fixtures; "" for neither."""
    if file.startswith(ALONE) or not _ENGINE_OR_HOSTS.isdisjoint(fixtures):
        return "alone"
    return "" if file in LONG else "unit"
