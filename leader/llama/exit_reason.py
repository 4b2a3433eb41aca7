"""Why a llama-server ended, as the end of its log tells it."""

import re
from collections.abc import Iterable
from typing import Final

from leader.llama.bare_paths import without_folders

# Words of a log line that explains an end; the remaining lines are cleaning up.
_TELLING: Final = ("error", "failed", "assert", "crashed", "unable", "out of memory", "invalid")
_HINDSIGHT: Final = ("cleaning up", "exiting due to")
# How ggml-rpc logs that a worker died. The failing call decides whether it logs at all. Another thread writes
# the log, so such a line may come before the line of ggml_abort, after it, or not at all.
_SYMPTOM: Final = ("send failed", "recv failed")
# ggml_abort and GGML_ASSERT begin their line with the source file's name as the compiler got it.
_ABORT: Final = re.compile(r"(?:\S*/)?([\w.-]+\.(?:c|cc|cpp|cu|cuh|h|hpp|m|mm):\d+: )(.+)")


def telling_line(lines: Iterable[str]) -> str:
    """The line near the end of a log that says best what went wrong; "" for an empty log.

    The line that ggml aborted with comes first, or another one that says the same and more. Then comes the
    first line that names a failure, then the last line. The result lacks the time and level and all folders,
    as it is told to all members; it has at most 300 characters.
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
            return without_folders(fuller[0] if fuller else position + message)[:300]
    causes = [line for line in failures if not any(word in line for word in _SYMPTOM)]
    chosen = causes[:1] or failures[:1] or said[-1:]
    return without_folders(chosen[0])[:300] if chosen else ""


def _bare(line: str) -> str:
    """Return a line of llama-server's log without its time and level."""
    head, _, rest = line.partition(" ")
    if head.replace(".", "").isdigit() and rest[:2].strip() in ("E", "W", "I", "D"):
        return rest[2:]
    return line
