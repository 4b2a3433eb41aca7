"""Pieces of a model: every byte is in one, and a tree that is not the model's is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model import model_hash
from leader.model.model_hash import FileHash, leaf, tree_root
from mesh.copies import hash_tree
from mesh.copies.hash_tree import ModelTree, WrongTree, checked_tree, leaf_counts

PIECE = 64


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_hash, "PIECE", PIECE)
        yield


def tree_of(*contents: bytes) -> ModelTree:
    files = []
    for content in contents:
        leaves = tuple(leaf(content[at : at + PIECE]) for at in range(0, len(content), PIECE))
        files.append(FileHash(len(content), leaves, tree_root(leaves)))
    return ModelTree(files)


def joined(tree: ModelTree) -> bytes:
    return b"".join(one for file in tree.files for one in file.leaves)


@given(st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=4))
def test_the_pieces_are_the_files_cut_up_in_order(contents: list[bytes]) -> None:
    tree = tree_of(*contents)
    pieces = list(tree.pieces())
    assert [piece.number for piece in pieces] == list(range(len(tree)))
    for number, content in enumerate(contents):
        mine = [piece for piece in pieces if piece.file == number]
        parts = [content[piece.offset : piece.offset + piece.length] for piece in mine]
        assert b"".join(parts) == content
        assert [piece.leaf for piece in mine] == [leaf(part) for part in parts]


def test_there_is_no_piece_before_the_first_or_after_the_last() -> None:
    tree = tree_of(b"x" * 100)
    for number in (-1, 2):
        with pytest.raises(IndexError):
            tree.piece(number)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3), st.data())
def test_a_tree_is_read_back_and_any_change_of_it_refused(contents: list[bytes], data: st.DataObject) -> None:
    tree = tree_of(*contents)
    sizes, leaves = [file.size for file in tree.files], joined(tree)
    assert checked_tree(sizes, leaves, tree.root, tree.size).files == tree.files
    at = data.draw(st.integers(0, len(leaves) - 1))
    changed = leaves[:at] + bytes([leaves[at] ^ 1]) + leaves[at + 1 :]
    with pytest.raises(WrongTree):
        checked_tree(sizes, changed, tree.root, tree.size)
    with pytest.raises(WrongTree):
        checked_tree(sizes, leaves[:-32], tree.root, tree.size)


def test_sizes_that_were_shifted_between_files_are_refused() -> None:
    tree = tree_of(b"a" * 100, b"b" * 100)
    with pytest.raises(WrongTree):
        checked_tree([101, 99], joined(tree), tree.root, tree.size)


@pytest.mark.parametrize(
    "sizes", [[], [99], [101], [50, 51], [-1, 101], [0, 100], [True, 99], ["x"], [1] * 1001]
)
def test_sizes_that_do_not_make_the_model_are_refused(sizes: list[int]) -> None:
    with pytest.raises(WrongTree):
        leaf_counts(sizes, 100)


def test_a_model_of_too_many_pieces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_tree, "MAX_PIECES", 3)
    assert leaf_counts([3 * PIECE], 3 * PIECE) == [3]
    with pytest.raises(WrongTree, match="more than 3 pieces"):
        leaf_counts([3 * PIECE + 1], 3 * PIECE + 1)
