"""A stream has one end."""

from collections.abc import Mapping
from typing import Any

from leader.door.writers.single_end import SingleEnd


class _Echo(SingleEnd):
    def _chunk(self, index: int, value: Mapping[str, Any]) -> bytes:
        return b"%d" % index

    def _last(self) -> bytes:
        return b"end"


def test_all_is_told_until_the_end_and_nothing_after_it() -> None:
    writer = _Echo()
    assert writer.event(3, {"error": None}) + writer.ended(3) + writer.end() == b"3end"
    assert writer.event(3, {}) + writer.end() == b""


def test_an_error_is_told_instead_of_the_end() -> None:
    writer = _Echo()
    assert b'"message":"why"' in writer.event(0, {"error": {"message": "why"}})
    assert writer.event(1, {}) + writer.ended(0) + writer.end() == b""
