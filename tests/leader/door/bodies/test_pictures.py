"""A picture is measured before the engine sees it, and what is larger than it says is refused."""

import base64
import struct
import zlib
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.bodies.pictures import MOST_PIXELS, MOST_SCANS, WrongPicture, decoded, encoded, pixels
from tests.tiny_kinds import picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SMALL = base64.b64decode(picture(1, 2, 3, 16).partition(",")[2])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, packed: bytes, depth: int = 8, colour: int = 2, laced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, laced)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def jpeg(width: int, height: int, before: bytes = b"", marker: int = 0xC0, scans: int = 1) -> bytes:
    size = b"\xff" + bytes([marker]) + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + before + size + b"\xff\xda\0\x08" * scans + bytes(64) + b"\xff\xd9"


@pytest.mark.parametrize(
    "content",
    [
        SMALL,
        jpeg(16, 16),
        jpeg(16, 16, b"\xff\xe0\0\x04ab" + b"\xff\xff\xdb\0\x03x"),
        jpeg(16, 16, b"no marker" + b"\xff\xe1\0\x10\xff\xc0" + bytes(12)),
        jpeg(16, 16, marker=0xC2, scans=MOST_SCANS),
        png(16, 16, zlib.compress(bytes(16 * 9)), depth=4, colour=6),
        png(16, 16, zlib.compress(bytes(16 * 49 + 15)), laced=1),
    ],
)
def test_a_picture_has_the_pixels_that_it_says(content: bytes) -> None:
    assert pixels(content) == 256
    assert pixels(content, 256) == 256
    with pytest.raises(WrongPicture, match="16 by 16 pixels: all pictures together may have 255"):
        pixels(content, 255)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "a PNG or a JPEG"),
        (b"GIF89a" + bytes(40), "a PNG or a JPEG"),
        (b"RIFF" + bytes(40), "a PNG or a JPEG"),
        (SIGNATURE, "damaged PNG"),
        (SIGNATURE + chunk(b"CgBI", bytes(4)), "damaged PNG"),
        (png(16, 16, b"nothing"), "damaged PNG"),
        (png(16, 16, zlib.compress(b""), depth=3), "a kind that is not known"),
        (png(0, 16, zlib.compress(b"")), "no pixels"),
        (png(1 << 31, 1 << 31, zlib.compress(b"")), "all pictures together may have"),
        (png(16, 16, zlib.compress(bytes(1 << 24))), "more than it says"),
        (b"\xff\xd8" + bytes(64), "damaged JPEG"),
        (jpeg(16, 16, b"\xff\x00"), "damaged JPEG"),
        (jpeg(16, 16, marker=0xC9), "damaged JPEG"),
        (jpeg(16, 0), "no pixels"),
        (jpeg(65535, 65535), "all pictures together may have"),
        (jpeg(16, 16, scans=MOST_SCANS + 1), "scans"),
    ],
)
def test_what_could_hurt_the_engine_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(WrongPicture, match=why):
        pixels(content)


def test_what_a_png_unpacks_to_is_bounded_over_all_its_pieces() -> None:
    packed = zlib.compress(bytes(1 << 22))
    pieces = [packed[at : at + 100] for at in range(0, len(packed), 100)]
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    content = SIGNATURE + chunk(b"IHDR", header) + b"".join(chunk(b"IDAT", piece) for piece in pieces)
    with pytest.raises(WrongPicture, match="more than it says"):
        pixels(content)


@given(st.binary(max_size=200), st.sampled_from((b"", SIGNATURE, b"\xff\xd8", SMALL[:40], SMALL[:-20])))
def test_no_bytes_give_more_pixels_than_allowed_or_another_error(content: bytes, head: bytes) -> None:
    with suppress(WrongPicture):
        assert 0 < pixels(head + content) <= MOST_PIXELS


def test_damage_anywhere_gives_pixels_or_words() -> None:
    random = Random(7)
    for source in (SMALL, jpeg(16, 16, b"\xff\xe0\0\x04ab")):
        for _ in range(300):
            damaged = bytearray(source)
            damaged[random.randrange(len(damaged))] = random.randrange(256)
            with suppress(WrongPicture):
                assert 0 < pixels(bytes(damaged)) <= MOST_PIXELS


@pytest.mark.parametrize("text", ["aGVsbG8=", "-_-_", "+/+/"])
def test_base64_of_either_alphabet_is_written_in_the_engines(text: str) -> None:
    assert encoded(decoded(text)) == text.replace("-", "+").replace("_", "/")


@pytest.mark.parametrize("text", ["a", "aGVs=bG8", "====", "aG=VsbG8="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(WrongPicture):
        decoded(text)
