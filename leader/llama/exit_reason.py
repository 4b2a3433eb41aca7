"""What a llama-server that ended has said about why."""

import re
from collections.abc import Iterable
from typing import Final

# What a line of log says that explains an end; the rest is cleaning up.
_TELLING: Final = ("error", "failed", "assert", "crashed", "unable", "out of memory", "invalid")
_HINDSIGHT: Final = ("cleaning up", "exiting due to")
# How a worker's death is met, as ggml-rpc logs it. Whether it does depends on the call that meets it, and as
# another thread writes the log, such a line comes before that of ggml_abort, after it, or not at all.
_SYMPTOM: Final = ("send failed", "recv failed")
# ggml_abort and GGML_ASSERT begin their line with the source file as the compiler was told of it.
_ABORT: Final = re.compile(r"(?:\S*/)?([\w.-]+\.(?:c|cc|cpp|cu|cuh|h|hpp|m|mm):\d+: )(.+)")


def telling_line(lines: Iterable[str]) -> str:
    """The line of a log's end that says best what went wrong; "" if there is none at all.

    That is the one ggml aborted with, or another that says the same and more; else the first that tells of a
    failure; else the last. Without the time and level before it, without folders of the engine's sources, and
    300 characters at most.
    """
    said = [_bare(line.strip()) for line in lines if line.strip()]
    failures = [
        line
        for line in said
        if any(word in line.lower() for word in _TELLING) and not any(word in line for word in _HINDSIGHT)
    ]
    for line in said:
        if abort := _ABORT.search(line):
            position, message = abort.groups()
            fuller = [one for one in failures if message in one and not _ABORT.search(one)]
            return (fuller[0] if fuller else position + message)[:300]
    causes = [line for line in failures if not any(word in line for word in _SYMPTOM)]
    chosen = causes[:1] or failures[:1] or said[-1:]
    return chosen[0][:300] if chosen else ""


def _bare(line: str) -> str:
    """Return a line of llama-server's log without its time and level."""
    head, _, rest = line.partition(" ")
    if head.replace(".", "").isdigit() and rest[:2].strip() in ("E", "W", "I", "D"):
        return rest[2:]
    return line
