"""A picture as the engine is to get it: a PNG or a JPEG that is not larger than it says. Pure.

The engine decodes whatever its libraries know, and a few bytes can say that they are gigabytes. So the size
is read here as the engine's library reads it, and what a PNG has packed is unpacked up to that size.
"""

import struct
import zlib
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Iterator
from typing import Final

MOST_PIXELS: Final = 1 << 25
"""Of all pictures of a request together."""
BYTES_FOR_PIXEL: Final = 18  # measured: 16.3 of a PNG with 16 bits a colour, less of all others
MOST_PICTURES: Final = 64
"""Of one request: each is computed while all other answers wait."""

MOST_SCANS: Final = 100
"""Of a JPEG that comes in several: each passes over the whole picture."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS: Final = (1, 2, 4, 8, 16)
_STEP: Final = 1 << 20
_SIZES: Final = (0xC0, 0xC1, 0xC2)
_OTHERS: Final = (0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0))
"""Markers of a JPEG that the engine's library passes over before the size."""


class WrongPicture(ValueError):
    """It is none that the engine gets; the text says why."""


def decoded(text: str) -> bytes:
    """The bytes of base64, in either alphabet. Raises WrongPicture."""
    try:
        return a2b_base64(text.replace("-", "+").replace("_", "/"), strict_mode=True)
    except (Error, ValueError):
        raise WrongPicture("is no base64") from None


def encoded(content: bytes) -> str:
    """The same as base64, in the alphabet that the engine reads whole."""
    return b2a_base64(content, newline=False).decode()


def pixels(content: bytes, most: int = MOST_PIXELS) -> int:
    """How many pixels a picture has. Raises WrongPicture for more than ``most``, and for what is none."""
    if content.startswith(_PNG):
        width, height, packed = _png(content)
    elif content.startswith(b"\xff\xd8"):
        (width, height), packed = _jpeg(content), 0
    else:
        raise WrongPicture("must be a PNG or a JPEG")
    if not width * height:
        raise WrongPicture("has no pixels")
    if width * height > most:
        raise WrongPicture(f"has {width} by {height} pixels: all pictures together may have {most}")
    if packed:
        _refuse_more(content, packed)
    return width * height


def _png(content: bytes) -> tuple[int, int, int]:
    """Width, height, and the bytes that it may unpack to."""
    kind, header = next(_chunks(content), (b"", b""))
    if kind != b"IHDR" or len(header) != 13:
        raise WrongPicture("is a damaged PNG")
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    if colour not in _CHANNELS or depth not in _DEPTHS:
        raise WrongPicture("is a PNG of a kind that is not known")
    row = 1 + (width * _CHANNELS[colour] * depth + 7) // 8
    # Of an interlaced one, the rows of all passes begin with a byte of their own.
    return width, height, row * height + 4 * height + 64


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def _refuse_more(content: bytes, most: int) -> None:
    unpacking, total = zlib.decompressobj(), 0
    try:
        for kind, data in _chunks(content):
            if kind == b"IEND":
                return
            while kind == b"IDAT" and data and not unpacking.eof:
                total += len(unpacking.decompress(data, _STEP))
                if total > most:
                    raise WrongPicture("holds more than it says")
                data = unpacking.unconsumed_tail
    except zlib.error:
        raise WrongPicture("is a damaged PNG") from None


def _jpeg(content: bytes) -> tuple[int, int]:
    if content.count(b"\xff\xda") > MOST_SCANS:
        raise WrongPicture(f"comes in more than {MOST_SCANS} scans")
    at = 2
    while True:
        at = content.find(b"\xff", at)
        while 0 <= at < len(content) and content[at] == 0xFF:
            at += 1
        if not 0 <= at <= len(content) - 8 or content[at] not in (*_SIZES, *_OTHERS):
            raise WrongPicture("is a damaged JPEG, or of a kind that is not known")
        if content[at] in _SIZES:
            height, width = struct.unpack_from(">HH", content, at + 4)
            return width, height
        at += 1 + max(2, struct.unpack_from(">H", content, at + 1)[0])
