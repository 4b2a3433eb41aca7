"""Naming models by a hash tree: the standard's values, no changing files, a cache that is not trusted."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
import trio

from leader.model import model_hash
from leader.model.model_hash import (
    HashError,
    WrongHash,
    hash_files,
    hash_model,
    leaf,
    model_root,
    tree_root,
)
from tests.waiting import until


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 64 bytes, read in chunks of 24."""
    monkeypatch.setattr(model_hash, "PIECE", 64)
    monkeypatch.setattr(model_hash, "CHUNK", 24)


def reference(pieces: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, to the letter."""
    if not pieces:
        return sha(b"")
    if len(pieces) == 1:
        return sha(b"\x00" + pieces[0])
    k = 1
    while k * 2 < len(pieces):
        k *= 2
    return sha(b"\x01" + reference(pieces[:k]) + reference(pieces[k:]))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 300, 448, 1000])
def test_the_root_is_rfc_6962s(tmp_path: Path, size: int) -> None:
    content = bytes(number * 7 % 256 for number in range(size))
    path = tmp_path / "model"
    path.write_bytes(content)
    pieces = [content[at : at + 64] for at in range(0, size, 64)]
    (file,) = hash_files([path])
    assert file.root == reference(pieces)
    assert file.leaves == tuple(leaf(piece) for piece in pieces)
    assert file.size == size


def test_pieces_are_16_mib(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    (hashed,) = hash_files([path])
    assert hashed.leaves == (sha(b"\x00" + bytes(16 << 20)), sha(b"\x00\x00"))
    assert hashed.root == tree_root(hashed.leaves)


def test_a_model_of_several_files_has_a_root_of_its_own(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "ab"]
    for path in files:
        path.write_text(path.name)
    one, two = hash_files(files)
    size = bytes(7) + b"\x01"
    assert model_root([one, two]) == sha(b"\x02" + size + one.root + size + two.root)
    assert model_root([one]) == one.root
    assert model_root([one, two]) != model_root([two, one])


@pytest.mark.usefixtures("small_pieces")
async def test_progress_rises_to_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(1000))
    seen: list[tuple[int, int]] = []
    root, files = await hash_model([path], tmp_path / "cache", lambda *progress: seen.append(progress))
    assert seen == sorted(seen)
    assert seen[-1] == (1000, 1000)
    assert root == files[0].root


async def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path, cache = tmp_path / "model", tmp_path / "cache"
    path.write_bytes(b"x" * 1000)
    first = await hash_model([path], cache)
    stamp = path.stat()
    path.write_bytes(b"y" * 1000)  # same inode and size
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert await hash_model([path], cache) == first
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert await hash_model([path], cache) != first


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 300, 1000])
def test_one_pass_checks_the_plain_hash_and_gives_the_same_tree(tmp_path: Path, size: int) -> None:
    path, content = tmp_path / "model", bytes(number * 7 % 256 for number in range(size))
    path.write_bytes(content)
    seen: list[int] = []
    checked = hash_files([path], None, lambda done, _: seen.append(done), sha256=[sha(content).hex()])
    assert checked == hash_files([path])
    assert seen == sorted(seen)
    assert seen[-1] == size, "each byte is read once"


async def test_a_file_with_another_hash_is_refused_and_not_remembered(tmp_path: Path) -> None:
    good, bad, cache = tmp_path / "good", tmp_path / "bad", tmp_path / "cache"
    good.write_bytes(b"x" * 1000)
    bad.write_bytes(b"y" * 1000)
    with pytest.raises(WrongHash, match="bad: is not the file that its source has") as caught:
        await hash_model([good, bad], cache, sha256=[sha(good.read_bytes()).hex(), "ab" * 32])
    assert caught.value.code == "wrong_hash"
    assert len(list(cache.iterdir())) == 1, "the good one alone"


async def test_a_tree_whose_plain_hash_was_not_checked_is_read_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "model", tmp_path / "cache"
    path.write_bytes(b"x" * 1000)
    first, plain = await hash_model([path], cache), [sha(b"x" * 1000).hex()]
    assert await hash_model([path], cache, sha256=plain) == first

    def read_again(*_: object) -> None:
        raise HashError("it is read again")

    monkeypatch.setattr(model_hash, "_hash_file", read_again)
    assert await hash_model([path], cache, sha256=plain) == first
    assert await hash_model([path], cache, sha256=[""]) == first
    assert await hash_model([path], cache) == first
    with pytest.raises(HashError, match="read again"):
        await hash_model([path], cache, sha256=["ab" * 32])


async def test_a_damaged_cache_is_no_authority(tmp_path: Path) -> None:
    path, cache = tmp_path / "model", tmp_path / "cache"
    path.write_bytes(b"x" * 1000)
    first = await hash_model([path], cache)
    (entry,) = cache.iterdir()
    whole = entry.read_text()
    for damage in (
        "",
        "[]",
        whole.replace(first[0].hex(), "00" * 32, 1),
        whole.replace('"leaves": "', '"leaves": "00'),
    ):
        entry.write_text(damage)
        assert await hash_model([path], cache) == first


async def test_the_cache_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_hash, "CACHED_FILES", 3)
    for number in range(6):
        path = tmp_path / f"model-{number}"
        path.write_text(str(number))
        await hash_model([path], tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(4 << 20))

    def grow(done: int, total: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(HashError, match="changed while it was read"):
        hash_files([path], report=grow)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(4 << 20))
    with pytest.raises(HashError, match="changed while it was read"):
        hash_files([path], report=lambda done, total: os.truncate(path, 10))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HashError, match=r"absent\.gguf: No such file"):
        hash_files([tmp_path / "absent.gguf"])


@pytest.mark.parametrize("sha256", [[], ["ab" * 32]], ids=["tree", "with the plain hash"])
async def test_a_cancelled_hash_ends_its_threads(tmp_path: Path, sha256: list[str]) -> None:
    path = tmp_path / "model"
    with path.open("wb") as file:
        file.truncate(64 << 30)
    seen: list[int] = []
    with trio.fail_after(5), trio.CancelScope() as scope:

        def report(done: int, total: int) -> None:
            seen.append(done)
            scope.cancel()

        await hash_model([path], tmp_path / "cache", report, sha256)
    assert scope.cancelled_caught
    assert seen[0] < 64 << 30
    await until(_none_hashes)
    assert not (tmp_path / "cache").exists()


def _none_hashes() -> bool:
    """Have all threads of ours ended? They look at the cancellation after each chunk."""
    return not any(thread.name.startswith("hash") for thread in threading.enumerate())
