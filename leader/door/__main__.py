"""Judges one request in a process of its own: arguments in, verdict out, both pickled by the same program.

It may take no more memory and time than a request of the largest size with nothing odd in it.
"""

import pickle
import resource
import sys
from typing import Final

from leader.door.verdict import judge

MAX_MEMORY: Final = 1 << 30
"""Bytes of address space."""
MAX_SECONDS: Final = 20
"""Seconds of a processor."""

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    sys.stdout.buffer.write(pickle.dumps(judge(*pickle.load(sys.stdin.buffer))))
