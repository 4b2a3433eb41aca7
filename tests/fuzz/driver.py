"""``python -m tests.fuzz.driver NAME FLAG...``: one harness under atheris; the flags are libFuzzer's.

Ends with its statistics, or at the first input that the harness does not put up with.
"""

import sys

INSTRUMENTED = ["mesh", "worker", "leader"]


def main(arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    name, *flags = arguments
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.harness import Bounded
        from tests.fuzz.harnesses import HARNESSES
    atheris.Setup([sys.argv[0], *flags], Bounded(HARNESSES[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
