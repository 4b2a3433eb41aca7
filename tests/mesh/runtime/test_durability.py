"""Tests of what is owed to a full disk."""

import pytest

from mesh.runtime.durability import RETRY_SECONDS, DurabilityGate
from mesh.wire.errors import MeshError


class Disk:
    def __init__(self) -> None:
        self.full = False
        self.files: dict[str, bytes] = {}
        self.attempts = 0

    def persist(self, key: str, value: bytes) -> None:
        self.attempts += 1
        if self.full:
            raise MeshError("no space left")
        self.files[key] = value


def test_what_is_written_is_on_the_disk_at_once() -> None:
    disk = Disk()
    durability = DurabilityGate(disk.persist)
    durability.write(0.0, "term", b"1")
    assert disk.files == {"term": b"1"}
    assert not durability.fenced
    assert durability.trouble is None


@pytest.mark.parametrize(("key", "silent"), [("term", True), ("grant", True), ("vouchers", False)])
def test_a_promise_that_is_owed_silences_and_others_know_the_rest(key: str, silent: bool) -> None:
    disk = Disk()
    durability = DurabilityGate(disk.persist)
    disk.full = True
    durability.write(0.0, key, b"1")
    assert durability.fenced is silent
    assert durability.trouble is not None


def test_the_newest_is_written_when_there_is_room_again_without_constant_retries() -> None:
    disk = Disk()
    durability = DurabilityGate(disk.persist)
    disk.full = True
    durability.write(0.0, "term", b"1")
    durability.write(0.1, "term", b"2")
    before = disk.attempts
    durability.settle(0.2)
    assert disk.attempts == before
    disk.full = False
    durability.settle(0.1 + RETRY_SECONDS)
    assert disk.files == {"term": b"2"}
    assert not durability.fenced
    assert durability.trouble is None
