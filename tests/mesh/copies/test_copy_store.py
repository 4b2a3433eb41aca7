"""Copies on the disk: what was verified is there after any crash, what is damaged is not believed."""

import os
import random
from pathlib import Path

import pytest

from leader.model import model_hash
from leader.model.model_hash import hash_files
from mesh.copies.copy_store import LOG, TREE, CopyStore, PartialCopy, StoreError, new_leaf, within
from mesh.copies.hash_tree import ModelTree

PIECE = 1024
CONTENTS = (random.Random(1).randbytes(5 * PIECE + 10), random.Random(2).randbytes(PIECE))
NAME = "big-00001-of-00002.gguf"


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_hash, "PIECE", PIECE)


@pytest.fixture
def tree(tmp_path: Path) -> ModelTree:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path, content in zip(paths, CONTENTS, strict=True):
        path.write_bytes(content)
    return ModelTree(hash_files(paths))


@pytest.fixture
def store(tmp_path: Path) -> CopyStore:
    return CopyStore(tmp_path / "copies")


def put(copy: PartialCopy, *numbers: int) -> None:
    for number in numbers:
        piece = copy.tree.piece(number)
        data = CONTENTS[piece.file][piece.offset : piece.offset + piece.length]
        digest = new_leaf()
        copy.write(piece, 0, data[:100], digest)
        copy.write(piece, 100, data[100:], digest) if len(data) > 100 else None
        assert digest.digest() == piece.leaf
        copy.commit(piece)


def test_a_copy_has_the_models_files_under_the_names_that_the_engine_wants(
    store: CopyStore, tree: ModelTree
) -> None:
    copy = store.open(tree, NAME)
    put(copy, *range(len(tree)))
    assert (copy.missing, copy.done) == (set(), tree.size)
    files = copy.finish()
    assert [path.name for path in files] == [NAME, "big-00002-of-00002.gguf"]
    assert [path.read_bytes() for path in files] == list(CONTENTS)
    assert within(files, store.folder / tree.root.hex())
    assert not within([Path("/elsewhere/big.gguf")], store.folder / tree.root.hex())


def test_what_was_noted_is_there_after_a_crash_and_nothing_else(store: CopyStore, tree: ModelTree) -> None:
    put(store.open(tree, NAME), 5, 0, 6)  # and its process is gone
    again = store.open(tree, NAME)
    assert again.missing == set(range(7)), "nothing counts before it was read again"
    again.recheck()
    assert again.missing == {1, 2, 3, 4}
    assert again.done == PIECE + 10 + PIECE
    again.close()


def test_a_piece_that_the_crash_tore_is_missing(store: CopyStore, tree: ModelTree) -> None:
    copy = store.open(tree, NAME)
    put(copy, 0, 1)
    copy.close()
    path = store.folder / f"{tree.root.hex()}.part" / NAME
    with path.open("r+b") as file:
        file.seek(PIECE + 5)
        file.write(b"????")
    log = path.with_name(LOG)
    log.write_bytes(log.read_bytes() + (10**6).to_bytes(4, "little") + b"\x02")  # no such piece; half a note
    again = store.open(tree, NAME)
    again.recheck()
    assert again.missing == set(range(1, 7))
    assert log.stat().st_size == 4, "the notes do not grow from crash to crash"
    again.close()


def test_a_recheck_that_nobody_waits_for_ends(store: CopyStore, tree: ModelTree) -> None:
    copy = store.open(tree, NAME)
    put(copy, 0, 1)
    copy.close()
    again = store.open(tree, NAME)
    again.recheck(lambda: True)
    assert again.done == 0
    again.close()


def test_the_tree_is_kept_and_not_believed_when_it_is_damaged(store: CopyStore, tree: ModelTree) -> None:
    assert store.tree(tree.root, tree.size) is None
    store.open(tree, NAME).close()
    kept = store.tree(tree.root, tree.size)
    assert kept is not None
    assert kept.files == tree.files
    assert store.tree(tree.root, tree.size + 1) is None
    path = store.folder / f"{tree.root.hex()}.part" / TREE
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert store.tree(tree.root, tree.size) is None


def test_a_damaged_tree_is_written_anew(store: CopyStore, tree: ModelTree) -> None:
    store.open(tree, NAME).close()
    (store.folder / f"{tree.root.hex()}.part" / TREE).write_bytes(b"damaged")
    store.open(tree, NAME).close()
    assert store.tree(tree.root, tree.size) is not None


def test_a_whole_copy_that_is_not_held_any_more_is_checked_and_mended(
    store: CopyStore, tree: ModelTree
) -> None:
    copy = store.open(tree, NAME)
    put(copy, *range(len(tree)))
    (first, _) = copy.finish()
    with first.open("r+b") as file:
        file.write(b"????")
    again = store.open(tree, NAME)
    again.recheck()
    assert again.missing == {0}
    put(again, 0)
    assert again.finish()[0].read_bytes() == CONTENTS[0]


def test_progress_is_told_without_reading_the_copy(store: CopyStore, tree: ModelTree) -> None:
    assert store.recorded(tree.root) == 0
    copy = store.open(tree, NAME)
    put(copy, 0, 3)
    assert store.recorded(tree.root) == 2 * PIECE
    copy.close()


def test_copies_that_are_not_kept_are_removed_with_what_they_took(store: CopyStore, tree: ModelTree) -> None:
    assert store.stored() == []
    copy = store.open(tree, NAME)
    put(copy, 0)
    copy.close()
    (store.folder / "something else").mkdir()
    (found,) = store.stored()
    assert (found.root, found.name, found.whole) == (tree.root, NAME, False)
    assert found.size > 0
    assert store.prune(lambda stored: True) == []
    assert store.prune(lambda stored: False) == [found]
    assert store.stored() == []
    assert (store.folder / "something else").exists()


def test_a_disk_that_takes_nothing_is_a_reason_for_people(store: CopyStore, tree: ModelTree) -> None:
    store.folder.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="copies: "):
        store.open(tree, NAME)


def test_free_space_is_told_before_the_first_copy(store: CopyStore) -> None:
    status = os.statvfs(store.folder.parent)
    assert store.free() <= status.f_blocks * status.f_frsize
    assert store.free() > 0
