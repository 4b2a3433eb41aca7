"""Why a program of the engine's ended, as the end of its output tells it. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from mesh.engine.process.bare_paths import without_folders

# Words of a log line that explains an end; the remaining lines are cleaning up.
_TELLING: Final = ("error", "failed", "assert", "crashed", "unable", "out of memory", "invalid")
_HINDSIGHT: Final = ("cleaning up", "exiting due to")
# How ggml-rpc logs that a worker died. The failing call decides whether it logs at all. Another thread writes
# the log, so such a line may come before the line of ggml_abort, after it, or not at all.
_SYMPTOM: Final = ("send failed", "recv failed")
# What rpc-server says at its start and of each client: none of it tells why it ended.
_ROUTINE: Final = re.compile(
    r"Accepted client connection|Client connection closed|Starting RPC server .*|Devices:"
    r"|(endpoint|local cache|transport) +: .*|\S+: .* \(\d+ MiB, \d+ MiB free\)"
)
# ggml_abort and GGML_ASSERT begin their line with the source file's name as the compiler got it.
_ABORT: Final = re.compile(r"(?<![\w.-])([\w.-]+\.(?:c|cc|cpp|cu|cuh|h|hpp|m|mm):\d+: )(.+)")
_LONGEST_LINE: Final = 1000
"""Characters of a line that are looked at: a request's text may be in it, and patterns take their time."""
# What the backends' own lines mean to people, by the words of ggml's CPU, CUDA, Metal, Vulkan and SYCL code.
_MEANINGS: Final = (
    (
        re.compile(
            r"(unsupported|not supported|not implemented).*\bop\b|\bop\b.*(unsupported|not (supported|impl))"
        ),
        "its backend lacks an operation of this model",
    ),
    (
        re.compile(
            r"out ?of(device|host)? ?memory|bad_alloc|cannot allocate memory|memory allocation of"
            r"|(failed|unable) to (re)?allocate|alloc\w* failed"
        ),
        "memory that was counted on was not there",
    ),
    (re.compile(r"ggml_assert|assertion"), "a check within the engine failed"),
)


def telling_line(lines: Iterable[str]) -> str:
    """The line near the end of a log that says best what went wrong; "" where none says anything.

    The line that ggml aborted with comes first, or another one that says the same and more. Then comes a
    line whose meaning is known, the first line that names a failure, then the last line. Where its meaning
    is known, that is said before it. The result lacks the time and level and all folders, as it is told to
    all members; it has at most 300 characters.
    """
    line = without_folders(_chosen(lines))
    meaning = _meaning(line)
    return (f"{meaning}: {line}" if meaning else line)[:300]


def _chosen(lines: Iterable[str]) -> str:
    texts = (line.strip()[:_LONGEST_LINE] for line in lines)
    said = [_bare(text) for text in texts if text and not _ROUTINE.fullmatch(text)]
    failures = [
        line
        for line in said
        if any(word in line.lower() for word in _TELLING) and not any(word in line for word in _HINDSIGHT)
    ]
    known = [line for line in said if _meaning(line)]
    for line in said:
        if abort := _ABORT.search(line):
            position, message = abort.groups()
            fuller = [one for one in failures if message in one and not _ABORT.search(one)]
            return fuller[0] if fuller else position + message
    causes = [line for line in failures if not any(word in line for word in _SYMPTOM)]
    return next(iter(known or causes or failures or said[-1:]), "")


def _meaning(line: str) -> str:
    """What the line means to people; "" where that is not known."""
    small = line.lower()
    return next((words for pattern, words in _MEANINGS if pattern.search(small)), "")


def _bare(line: str) -> str:
    """Return a line of llama-server's log without its time and level."""
    head, _, rest = line.partition(" ")
    if head.replace(".", "").isdigit() and rest[:2].strip() in ("E", "W", "I", "D"):
        return rest[2:]
    return line
