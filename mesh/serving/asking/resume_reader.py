"""Reads one request to take up an answer, in a process of its own: its bytes in, the pickled request out.

It may take no more memory and time than one of the largest size with nothing odd in it.
"""

import pickle
import resource
import sys
from typing import Final

from mesh.gateway.resuming.resume_request import decode_resume_request

MAX_MEMORY: Final = 1 << 30
"""Bytes of address space."""
MAX_SECONDS: Final = 20
"""Seconds of a processor."""


def read_apart(content: bytes) -> bytes:
    """Return the pickled request and the client's own; a text where it makes no sense."""
    try:
        request = decode_resume_request(content)
    except ValueError as error:
        return pickle.dumps(str(error))
    return pickle.dumps((request, request.question()))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    sys.stdout.buffer.write(read_apart(sys.stdin.buffer.read()))
