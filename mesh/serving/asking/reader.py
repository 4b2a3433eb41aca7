"""Reads and judges what others sent, in a process of its own, one question after the other.

Questions and answers are pickled by the same program, each after its length. The process ends with its input.
It may take no more memory than a request of the largest size with nothing odd in it; how long it may take for
one, its owner decides.
"""

import gc
import pickle
import resource
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

from leader.door.verdict import judge
from mesh.gateway.resuming.resume_request import ResumeRequest, decode_resume_request

MAX_MEMORY: Final = 1 << 30
"""Bytes of address space."""
LENGTH: Final = struct.Struct(">I")


def read_resume_request(content: bytes) -> tuple[ResumeRequest, bytes] | str:
    """A request to take up an answer, with the client's own; a text where it makes no sense."""
    try:
        request = decode_resume_request(content)
    except ValueError as error:
        return str(error)
    return request, request.question()


READERS: Final[Mapping[str, Callable[..., Any]]] = {
    "judge": judge,
    "resume": read_resume_request,
}
"""What can be asked, by name."""


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer each question, a name and arguments, until there are no more."""
    while head := questions.read(LENGTH.size):
        name, arguments = pickle.loads(questions.read(*LENGTH.unpack(head)))
        answer = pickle.dumps(READERS[name](*arguments))
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    # A search for garbage in what is being read finds none, and takes most of the time.
    gc.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    serve(sys.stdin.buffer, sys.stdout.buffer)
