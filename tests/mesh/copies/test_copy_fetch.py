"""A copy over real TLS streams: from many at once, from liars and the dying, and never a piece twice."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from leader.model import model_hash
from mesh.copies import copy_fetch, copy_policy, copy_source
from mesh.copies.copy_fetch import Fetch, SourceBackoff
from mesh.copies.copy_source import NoSource
from mesh.copies.copy_store import CopyStore, PartialCopy, StoreError
from mesh.net.session import Session
from mesh.wire.errors import MeshError
from tests.mesh.copies.sources import Scripted, Weights, honest, weights
from tests.mesh.machines import Ground, Here
from tests.mesh.net.conftest import members

PIECE = 200_000
CONTENT = random.Random(3).randbytes(10 * PIECE + 77)


@pytest.fixture(autouse=True)
def _small_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces, little margin, and sources that broke off are asked again at once."""
    monkeypatch.setattr(model_hash, "PIECE", PIECE)
    monkeypatch.setattr(copy_policy, "MARGIN", 1 << 20)
    monkeypatch.setattr(copy_fetch, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(copy_fetch, "LOOK_SECONDS", 0.02)


class Place:
    """Anna copies; the others are there to hold the model."""

    def __init__(self, anna: Here, holders: list[Here], folder: Path) -> None:
        self.anna = anna
        self.holders = holders
        self.store = CopyStore(folder / "copies")
        self.backoff = SourceBackoff()
        self.weights: Weights = weights(folder, CONTENT)

    def fetch(self, *holders: Here) -> Fetch:
        known = {here.id: [here.endpoint] for here in holders or self.holders}
        return Fetch(self.anna.streams, self.weights.model, self.store, lambda: known, self.backoff)


@pytest.fixture
async def place(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Place]:
    """Machines in real time, for threads that write files do not care for any other."""
    ground = Ground(nursery, tmp_path)
    every = [await ground.machine(name) for name in ("anna", "bert", "cara")]
    for here in every:
        here.streams.trust(members(*(one.identity for one in every)))
    with trio.fail_after(60):
        yield Place(every[0], every[1:], tmp_path)
    nursery.cancel_scope.cancel()
    ground.close()


def read(files: tuple[Path, ...]) -> list[bytes]:
    return [path.read_bytes() for path in files]


async def test_a_copy_comes_from_all_holders_at_once(place: Place) -> None:
    """Each gives nothing before the other was asked too."""
    asked = [trio.Event(), trio.Event()]
    sources = [Scripted(place.weights, hold=asked[1 - number]) for number in (0, 1)]
    for source, here, event in zip(sources, place.holders, asked, strict=True):

        def note(number: int, session: Session, event: trio.Event = event) -> None:
            event.set()

        source.before = note
        source.at(here)
    assert read(await place.fetch().run()) == [CONTENT]
    every = sources[0].asked + sources[1].asked
    assert sorted(every) == list(range(11)), "no piece came twice"


async def test_an_honest_holder_gives_a_model_of_several_files(place: Place, tmp_path: Path) -> None:
    split = weights(tmp_path, CONTENT, CONTENT[: PIECE + 1], name="big-00001-of-00002.gguf")
    place.weights = split
    honest(place.holders[0], split)
    fetch = place.fetch(place.holders[0])
    files = await fetch.run()
    assert [path.name for path in files] == ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]
    assert read(files) == list(split.contents)
    assert fetch.files == split.tree.files
    assert fetch.done == split.tree.size


async def test_a_piece_that_is_wrong_is_refused_and_its_source_asked_no_more(place: Place) -> None:
    bert, cara = place.holders
    liar = Scripted(place.weights, change=lambda number, data: data[:-1] + bytes([data[-1] ^ 1])).at(bert)
    honest(cara, place.weights)
    assert read(await place.fetch().run()) == [CONTENT]
    assert len(liar.asked) == 1
    assert bert.id in place.backoff
    assert cara.id not in place.backoff


@pytest.mark.parametrize("surplus", [b"", b"more"], ids=["less", "more"])
async def test_a_source_that_gives_less_or_more_than_a_piece_spoils_nothing(
    place: Place, surplus: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_source, "STALL_SECONDS", 0.2)
    bert, cara = place.holders
    Scripted(place.weights, change=lambda number, data: data + surplus if surplus else data[:-1]).at(bert)
    honest(cara, place.weights)
    assert read(await place.fetch().run()) == [CONTENT]


async def test_a_hash_tree_that_is_not_the_models_is_refused(place: Place) -> None:
    bert, cara = place.holders
    liar = Scripted(place.weights, leaves=bytes(11 * 32)).at(bert)
    honest(cara, place.weights)
    assert read(await place.fetch().run()) == [CONTENT]
    assert (liar.trees, liar.asked) == (1, [])
    assert bert.id in place.backoff


async def test_a_source_that_dies_midway_is_replaced_by_the_others(place: Place) -> None:
    bert, cara = place.holders

    def die(number: int, session: Session) -> None:
        if len(dying.asked) > 2:
            session.cut()

    dying = Scripted(place.weights, before=die).at(bert)
    honest(cara, place.weights)
    assert read(await place.fetch().run()) == [CONTENT]


async def test_a_source_that_trickles_does_not_keep_the_last_piece(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_fetch, "SLOW_SECONDS", 0.1)
    bert, cara = place.holders
    slow = Scripted(place.weights, hold=trio.Event()).at(bert)
    hasty = Scripted(place.weights).at(cara)
    assert read(await place.fetch().run()) == [CONTENT]
    assert len(slow.asked) == 1
    assert slow.asked[0] in hasty.asked
    assert bert.id in place.backoff


async def test_a_source_that_comes_back_goes_on_where_it_ended(place: Place) -> None:
    bert = place.holders[0]

    def die(number: int, session: Session) -> None:
        if len(flaky.asked) % 4 == 0:
            session.cut()

    flaky = Scripted(place.weights, before=die).at(bert)
    assert read(await place.fetch(bert).run()) == [CONTENT]
    assert flaky.open > 3
    assert len(flaky.asked) <= 11 + flaky.open, "only the piece that broke off is asked for again"


async def test_what_was_verified_before_a_crash_is_not_fetched_again(place: Place) -> None:
    bert = place.holders[0]
    with trio.CancelScope() as crash:

        def strike(number: int, session: Session) -> None:
            if len(before.asked) == 6:
                crash.cancel()

        before = Scripted(place.weights, before=strike).at(bert)
        await place.fetch(bert).run()
    assert crash.cancelled_caught
    verified = set(before.asked[:-1])
    after = Scripted(place.weights).at(bert)
    fetch = place.fetch(bert)
    assert read(await fetch.run()) == [CONTENT]
    assert verified
    assert not verified & set(after.asked)
    assert after.trees == 0, "the tree was kept as well"


async def test_a_piece_that_was_damaged_on_the_disk_is_fetched_again(place: Place) -> None:
    bert = place.holders[0]
    with trio.CancelScope() as crash:

        def strike(number: int, session: Session) -> None:
            if number == 3:
                crash.cancel()

        Scripted(place.weights, before=strike).at(bert)
        await place.fetch(bert).run()
    part = place.store.folder / f"{place.weights.tree.root.hex()}.part" / "toy.gguf"
    damaged = bytearray(part.read_bytes())
    damaged[PIECE + 5] ^= 1
    part.write_bytes(bytes(damaged))
    after = Scripted(place.weights).at(bert)
    assert read(await place.fetch(bert).run()) == [CONTENT]
    assert 1 in after.asked
    assert 0 not in after.asked


async def test_a_disk_that_gives_nothing_back_ends_the_copy_with_the_reason(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(copy: PartialCopy, abandoned: object) -> None:
        raise StoreError("copies: Input/output error")

    monkeypatch.setattr(PartialCopy, "recheck", broken)
    honest(place.holders[0], place.weights)
    with pytest.raises(StoreError, match="Input/output error"):
        await place.fetch().run()


async def test_a_disk_without_room_is_told_before_anything_is_fetched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.store, "free", lambda: 1 << 20)
    source = Scripted(place.weights).at(place.holders[0])
    with pytest.raises(MeshError, match=r"lacks 1\.9 MiB of disk space for toy\.gguf"):
        await place.fetch().run()
    assert source.open == 0


async def test_a_name_of_the_stores_own_files_is_refused_before_anything_is_asked_or_made(
    place: Place,
) -> None:
    source = Scripted(place.weights).at(place.holders[0])
    fetch = place.fetch()
    fetch.model = replace(fetch.model, name=".pieces")
    with pytest.raises(MeshError, match=r"begins with a dot: '\.pieces'"):
        await fetch.run()
    assert source.open == 0
    assert not place.store.folder.exists()


async def test_a_disk_that_others_fill_meanwhile_ends_the_copy_in_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_fetch, "ROOM_SECONDS", 0.0)
    free = [1 << 30]
    monkeypatch.setattr(place.store, "free", lambda: free[0])
    stuck = trio.Event()

    async def fill(session: Session) -> None:
        free[0] = 0
        await session.send_message({"ok": True, "sizes": [len(CONTENT)]})
        await stuck.wait()

    source = Scripted(place.weights).at(place.holders[0])
    with trio.CancelScope() as crash:
        source.before = lambda number, session: crash.cancel() if number == 1 else None
        await place.fetch(place.holders[0]).run()
    place.holders[0].handlers["copy"] = fill
    with pytest.raises(MeshError, match="of disk space"):
        await place.fetch(place.holders[0]).run()


async def test_without_any_source_it_gives_up_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_fetch, "GIVE_UP_SECONDS", 0.05)
    monkeypatch.setattr(copy_fetch, "RETRY_SECONDS", 0.0)  # who failed here may be asked again below
    with pytest.raises(NoSource, match="nobody gives"):
        await place.fetch().run()  # nobody serves such streams
    # Long enough for a handshake on a busy machine: whether it is asked at all is what counts.
    monkeypatch.setattr(copy_fetch, "GIVE_UP_SECONDS", 2.0)
    monkeypatch.setattr(copy_fetch, "RETRY_SECONDS", 3.0)
    source = Scripted(place.weights, before=lambda number, session: session.cut()).at(place.holders[0])
    with pytest.raises(NoSource, match="nobody gives"):
        await place.fetch(place.holders[0]).run()
    assert source.asked
