"""The lines between this program and the process that talks with the hub.

The process reads one request, a JSON object, from its standard input, and writes one JSON object a line to
its standard output: any number of progress lines, then one line with ``result`` or ``error``. It ends when
its standard input is closed, so it does not outlive whoever asked.
"""

from typing import Literal, NotRequired, TypedDict

from mesh.wire.errors import MeshError

ErrorCode = Literal["not_found", "gated", "offline", "disk", "wrong", "busy", "failed"]


class HubError(MeshError):
    """What the hub, or the way to it, does not give; ``code`` tells the kinds apart."""

    def __init__(self, code: ErrorCode, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code: ErrorCode = code


class FileEntry(TypedDict):
    path: str  # in the repository
    size: int  # 0 where the hub tells none
    sha256: str  # empty where the hub tells none
    check: NotRequired[bool]  # whether to check that hash now, as nobody else does


class DescribeRequest(TypedDict):
    """What is there: the answer is a `RepositoryEntry`.

    ``pace``, of any request, multiplies all pauses between tries; it is 1 where nobody is in a hurry.
    """

    do: Literal["describe"]
    repo: str
    revision: str  # a branch, tag or commit; empty: the main branch
    pace: NotRequired[float]


class HeaderRequest(TypedDict):
    """The first ``bytes`` of a file, written to ``into``; of the hub, or of any address (`url`)."""

    do: Literal["header"]
    repo: NotRequired[str]
    revision: NotRequired[str]
    path: NotRequired[str]
    url: NotRequired[str]
    into: str
    bytes: int
    pace: NotRequired[float]


class FetchRequest(TypedDict):
    """Download files of one commit into the hub's cache."""

    do: Literal["fetch"]
    repo: str
    commit: str
    files: list[FileEntry]
    token: bool  # whether this user's token may be used
    pace: NotRequired[float]


class FetchUrlRequest(TypedDict):
    """Download one file, and the other parts of a split one, from an address.

    They land in a folder of that address below ``folder``, so that files of one name do not collide.
    """

    do: Literal["fetch_url"]
    url: str
    sha256: str  # in hex; empty: unknown
    folder: str
    pace: NotRequired[float]


Request = DescribeRequest | HeaderRequest | FetchRequest | FetchUrlRequest


class RepositoryEntry(TypedDict):
    repo: str
    commit: str
    closed: bool
    files: list[FileEntry]


class HeaderResult(TypedDict):
    size: int  # of the whole file


class FetchResult(TypedDict):
    files: list[str]  # absolute paths, in the order of the request


class ProgressLine(TypedDict):
    """Bytes of all files of the request; ``rate`` is bytes a second of late."""

    done: int
    total: int
    rate: float
    text: str  # such as the file's name, or why it waits


class ErrorLine(TypedDict):
    code: ErrorCode
    message: str
    hint: str


class Line(TypedDict):
    """One of them."""

    progress: NotRequired[ProgressLine]
    result: NotRequired[RepositoryEntry | HeaderResult | FetchResult]
    error: NotRequired[ErrorLine]
