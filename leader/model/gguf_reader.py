"""Reading a GGUF header through one bounded window, by position, never past the end of the file."""

import os
import struct
from io import FileIO
from pathlib import Path
from typing import Final

from leader.model.header_values import Scalar
from mesh.wire.errors import MeshError

WINDOW: Final = 1 << 20
MAX_KEPT_STRING: Final = 4096  # names and the like; a chat template is skipped
MAX_KEPT_ARRAY: Final = 1024  # per-layer numbers; vocabularies are skipped
MAX_KEPT: Final = 1 << 18  # characters and numbers of all that is kept; real files have some thousand
MAX_HEADER: Final = 1 << 30  # bytes; the largest known vocabularies take some 20 MB
MAX_STRINGS: Final = 2 << 20  # in all arrays together: a file costs about a second at most

# value type: struct format; 8 is a string, 9 an array
_FORMATS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9
_WHOLE: Final = frozenset((0, 1, 2, 3, 4, 5, 7, 10, 11))  # integers, and truth values, which may be numbers
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


class GgufError(MeshError):
    """A file that is no GGUF model, is damaged, or is of a kind that cannot be served."""

    usual_hint = "get the file anew, and from somewhere else if that does not help"


class ShortHeader(GgufError):
    """Only a file's beginning is here, and its header goes on; ``code`` is what the command line sees."""

    code = "short_header"


def shown(text: bytes) -> str:
    """A string of a file as a person may see it, and as the engine compares it: it ends before its first NUL.

    Nothing says in which encoding strings are: what is no UTF-8 or has no shape is escaped.
    """
    decoded = text.partition(b"\0")[0].decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in decoded)


class Reader:
    """A cursor over a file. Every read is checked against the file's size before anything is allocated."""

    def __init__(self, path: Path, file: FileIO, size: int | None = None) -> None:
        """``size``: of the whole file, in bytes, where only its beginning is here."""
        self._path = path
        self._file = file
        self._here = os.fstat(file.fileno()).st_size
        self.size = self._here if size is None else size
        self.position = 0
        self._window = b""
        self._start = 0  # of the window, in the file
        self._strings = 0
        self._kept = 0

    def take(self, length: int) -> bytes:
        """The next ``length`` (at most a window's) bytes."""
        if self.position + length > self.size:
            raise GgufError(
                f"{self._path}: is cut short: the header goes on beyond its end at byte {self.size}",
                "copy or download it again",
            )
        if self.position + length > self._here:
            raise ShortHeader(f"{self._path}: the header goes on beyond the first {self._here} bytes")
        begin = self.position - self._start
        if not 0 <= begin <= len(self._window) - length:
            self._file.seek(self.position)
            self._window = self._file.read(WINDOW)
            self._start, begin = self.position, 0
            if len(self._window) < length:
                raise GgufError(f"{self._path}: changed while it was read, at byte {self.position}")
        self.position += length
        return self._window[begin : begin + length]

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def count(self, what: str, limit: int) -> int:
        """A 64-bit count that must not be above ``limit``."""
        at = self.position
        value = self.u64()
        if value > limit:
            raise GgufError(f"{self._path}: {value} {what} at byte {at} are more than the {limit} allowed")
        return value

    def text(self, what: str, limit: int) -> bytes:
        """A string of at most ``limit`` bytes, in whatever encoding."""
        at = self.position
        length = self.u64()
        if length > limit:
            raise GgufError(f"{self._path}: {what} at byte {at} is {length} bytes long, {limit} are allowed")
        return self.take(length)

    def key(self, limit: int) -> bytes:
        """A metadata key of at most ``limit`` bytes."""
        key = self.text("a metadata key", limit)
        self._keep(len(key), shown(key))
        return key

    def value(self, key: str) -> Scalar | tuple[int, ...]:
        """A metadata value: scalars, short strings and short arrays of whole numbers; None for all others."""
        at = self.position
        kind = self.u32()
        if kind == _ARRAY:
            return self._array(key, at)
        if kind == _STRING:
            length = self.u64()
            if length <= MAX_KEPT_STRING:
                self._keep(length, key)
                return shown(self.take(length))
            self._skip(length, key, at)
            return None
        return self._scalar(kind, key, at)

    def _scalar(self, kind: int, key: str, at: int) -> int | float | bool:
        form = _FORMATS.get(kind)
        if form is None:
            raise GgufError(f"{self._path}: {key} at byte {at} has the unknown type {kind}")
        value: int | float | bool = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def _array(self, key: str, at: int) -> tuple[int, ...] | None:
        kind = self.u32()
        length = self.u64()
        if kind == _STRING:
            self._skip_strings(length, key, at)
            return None
        form = _FORMATS.get(kind)
        if form is None:
            raise GgufError(f"{self._path}: {key} at byte {at} is an array of the unknown type {kind}")
        size = struct.calcsize(form)
        if kind in _WHOLE and 0 < length <= MAX_KEPT_ARRAY:
            self._keep(length, key)
            return tuple(map(int, struct.unpack(f"<{length}{form[1]}", self.take(length * size))))
        self._skip(length * size, key, at)
        return None

    def _keep(self, amount: int, key: str) -> None:
        self._kept += amount
        if self._kept > MAX_KEPT:
            raise GgufError(
                f"{self._path}: too much metadata, by {key[:80]!r} at the latest: no model has it"
            )

    def _skip(self, length: int, key: str, at: int) -> None:
        if length > self.size - self.position:
            raise GgufError(
                f"{self._path}: is cut short or damaged: {key} at byte {at} would be {length} bytes long",
                "copy or download it again",
            )
        self.position += length
        if self.position > MAX_HEADER:
            raise GgufError(f"{self._path}: the header goes on beyond byte {MAX_HEADER}: no model's does")

    def _skip_strings(self, length: int, key: str, at: int) -> None:
        self._strings += length
        if self._strings > MAX_STRINGS:
            raise GgufError(f"{self._path}: {key} at byte {at} cannot have {length} entries")
        if length * 8 > self.size - self.position:
            raise GgufError(
                f"{self._path}: is cut short or damaged: {key} at byte {at} would have {length} entries",
                "copy or download it again",
            )
        for _ in range(length):
            self._skip(self.u64(), key, at)
