"""``python -m tests.benchmarks NAME``: one benchmark; --json prints one object, --check judges its goals."""

import argparse
import sys
from typing import Protocol

from mesh.wire.errors import MeshError
from tests.benchmarks import domains, failover, first_light, flood, gate, hostile, memory, resume, serf
from tests.benchmarks.report import Report, deliver


class Benchmark(Protocol):
    """What a module of a benchmark holds."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add its own options."""

    def run(self, options: argparse.Namespace) -> Report:
        """Measure. Raises MeshError where that is impossible."""


BENCHMARKS: dict[str, Benchmark] = {
    "domains": domains,
    "failover": failover,
    "first_light": first_light,
    "flood": flood,
    "gate": gate,
    "hostile": hostile,
    "memory": memory,
    "resume": resume,
    "serf": serf,
}


def main(arguments: list[str] | None = None) -> int:
    """0 when it ran, 1 when it could not or ``--check`` found a goal missed, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, benchmark in BENCHMARKS.items():
        command = commands.add_parser(name, help=benchmark.HELP, description=benchmark.HELP)
        command.add_argument("--json", action="store_true", help="print one object")
        command.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
        benchmark.configure(command)
    options = parser.parse_args(arguments)
    status = 0
    try:
        result = BENCHMARKS[options.benchmark].run(options)
        status = deliver(result, as_json=options.json, check=options.check)
    except* MeshError as errors:
        print(*errors.exceptions, file=sys.stderr)
        status = 1
    except* KeyboardInterrupt:
        status = 130
    return status


if __name__ == "__main__":
    sys.exit(main())
