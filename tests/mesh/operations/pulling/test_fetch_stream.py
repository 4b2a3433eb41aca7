"""An owner has another member download: over real streams, with a hub that does as the test says."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.control.control_errors import OperationRefused
from mesh.hub import hub_client
from mesh.hub.hub_lines import HubError
from mesh.hub.repository import HubFile
from mesh.net.stream_kinds import StreamKind
from mesh.operations.pulling import fetch_stream
from mesh.operations.pulling.fetch_stream import Downloaded, have_downloaded, read_answer, read_progress
from mesh.operations.pulling.held_elsewhere import model_held_by
from mesh.operations.pulling.wanted_download import WantedDownload
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.operations.homes import Events
from tests.mesh.operations.pulling.company import Company, company
from tests.tiny_kinds import projector
from tests.waiting import until

SPEC = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=64, vocabulary=512, context=64)
COMMIT = "0123456789" * 4


class ScriptedHub:
    """Takes the place of the hub's process."""

    def __init__(self, folder: Path) -> None:
        self.files = generate(folder / "tiny.gguf", SPEC)
        self.asked: list[tuple[str, str, tuple[HubFile, ...]]] = []
        self.forgotten: list[Path] = []
        self.failure: Exception | None = None
        self.ended = 0
        self.go_on = trio.Event()
        self.go_on.set()

    async def fetch_apart(
        self,
        repo: str,
        commit: str,
        files: Sequence[HubFile],
        on_progress: Callable[[Any], None],
        model: int,
    ) -> list[Path]:
        assert model == len(self.files)
        self.asked.append((repo, commit, tuple(files)))
        size = sum(file.size for file in files)
        on_progress({"done": size // 2, "total": size, "rate": 10.0, "text": "tiny.gguf"})
        try:
            await self.go_on.wait()
        finally:
            self.ended += 1
        if self.failure is not None:
            raise self.failure
        return [*self.files, *(self.files[0].with_name(file.path) for file in files[len(self.files) :])]

    def forget(self, path: Path) -> bool:
        self.forgotten.append(path)
        return True

    def keep_as_blob(self, name: str) -> None:
        """Keep the file as the hub's cache does: a link to a blob that has its hash as name."""
        blob = self.files[0].with_name(name)
        self.files[0].rename(blob)
        self.files[0].symlink_to(blob)

    def wanted(self, sha256: str | None = None) -> WantedDownload:
        known = hashlib.sha256(self.files[0].read_bytes()).hexdigest() if sha256 is None else sha256
        model = HubFile(self.files[0].name, self.files[0].stat().st_size, known)
        return WantedDownload("some/one-GGUF", COMMIT, (model, HubFile("mmproj.gguf", 10)), 1)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedHub:
    hub = ScriptedHub(tmp_path / "hub")
    monkeypatch.setattr(hub_client, "fetch_apart", hub.fetch_apart)
    monkeypatch.setattr(hub_client, "forget", hub.forget)
    monkeypatch.setattr(fetch_stream, "BEAT_SECONDS", 0.01)
    return hub


@pytest.fixture
async def pair(tmp_path: Path, hub: ScriptedHub) -> AsyncIterator[Company]:
    async with company(tmp_path) as both:
        yield both


async def fetched(pair: Company, wanted: WantedDownload) -> Downloaded:
    return await have_downloaded(pair.anna, pair.bert.node.id, wanted, Events().emit)


async def test_the_member_downloads_checks_and_holds_what_it_was_asked_for(
    pair: Company, hub: ScriptedHub
) -> None:
    told, wanted = Events(), hub.wanted()
    model, beside = await have_downloaded(pair.anna, pair.bert.node.id, wanted, told.emit)
    assert beside is None, "what came along is no projector, and only lies there"
    assert hub.asked == [(wanted.repo, COMMIT, wanted.files)]
    assert pair.bert.models.find(model.root) is not None
    assert pair.anna.models.held() == []
    bert = pair.anna.node.member(pair.bert.node.id)
    assert bert is not None
    assert model_held_by(bert, model.root) == model, "its record says so by the time that it is told"
    assert {event["text"].split(":")[0] for event in told} == {"bert"}


async def test_a_projector_that_came_along_is_held_too(pair: Company, hub: ScriptedHub) -> None:
    file = projector(hub.files[0].with_name("mmproj.gguf"), 64)
    got = await fetched(pair, hub.wanted())
    assert got.projector is not None
    assert got.projector == Model("mmproj.gguf", file.stat().st_size, got.projector.root)
    held = pair.bert.models.find(got.projector.root)
    assert held is not None
    assert held.files == (file,)
    bert = pair.anna.node.member(pair.bert.node.id)
    assert bert is not None
    assert model_held_by(bert, held.root) == got.projector, "its record says so by then"


async def test_progress_goes_on_while_nothing_arrives(pair: Company, hub: ScriptedHub) -> None:
    hub.go_on, wanted = trio.Event(), hub.wanted()
    seen: list[Any] = []

    async def emit(event: Any) -> None:
        seen.append(event)
        if len(seen) == 5:
            hub.go_on.set()

    await have_downloaded(pair.anna, pair.bert.node.id, wanted, emit)
    half = wanted.size // 2
    assert seen[3] == {
        "text": "bert: tiny.gguf", "progress": pytest.approx(0.5, abs=0.01), "done": half,
        "total": wanted.size, "rate": 10.0, "eta_seconds": pytest.approx(half / 10, abs=1),
    }  # fmt: skip


async def test_an_asker_that_hangs_up_ends_the_download(
    pair: Company, hub: ScriptedHub, nursery: trio.Nursery
) -> None:
    hub.go_on, wanted = trio.Event(), hub.wanted()
    with trio.CancelScope() as asking:
        nursery.start_soon(_cancel_once, asking, lambda: bool(hub.asked))
        await fetched(pair, wanted)
    await until(lambda: hub.ended == 1)
    assert pair.bert.models.held() == []
    hub.go_on.set()
    await fetched(pair, wanted)  # and it may be asked again


async def _cancel_once(scope: trio.CancelScope, when: Callable[[], bool]) -> None:
    await until(when)
    scope.cancel()


async def test_one_download_is_made_at_a_time(pair: Company, hub: ScriptedHub, nursery: trio.Nursery) -> None:
    hub.go_on, wanted = trio.Event(), hub.wanted()
    nursery.start_soon(fetched, pair, wanted)
    await until(lambda: bool(hub.asked))
    with pytest.raises(
        OperationRefused, match="bert does not download: it downloads some/one-GGUF"
    ) as caught:
        await fetched(pair, wanted)
    assert caught.value.code == "busy"
    assert len(hub.asked) == 1
    hub.go_on.set()


async def test_a_file_that_is_not_what_the_cache_calls_it_goes(pair: Company, hub: ScriptedHub) -> None:
    hub.keep_as_blob("ab" * 32)
    with pytest.raises(OperationRefused, match=r"bert does not download: .*tiny\.gguf: is not the") as caught:
        await fetched(pair, hub.wanted("ab" * 32))
    assert (caught.value.code, hub.forgotten) == ("wrong_hash", hub.files)
    assert "downloads it again" in caught.value.hint
    assert pair.bert.models.held() == []


async def test_an_askers_wrong_hash_removes_no_file_of_the_members(pair: Company, hub: ScriptedHub) -> None:
    hub.keep_as_blob(hub.wanted().files[0].sha256)
    with pytest.raises(OperationRefused, match="is not the file that its source has") as caught:
        await fetched(pair, hub.wanted("ab" * 32))
    assert (caught.value.code, hub.forgotten) == ("wrong_hash", [])
    assert pair.bert.models.held() == []


async def test_what_the_hub_refuses_is_told_with_its_code(pair: Company, hub: ScriptedHub) -> None:
    hub.failure = HubError("gated", "some/one-GGUF is not open to all", "ask for it there")
    with pytest.raises(OperationRefused, match="bert does not download: some/one-GGUF is not open") as caught:
        await fetched(pair, hub.wanted())
    assert (caught.value.code, caught.value.hint) == ("gated", "ask for it there")


async def test_a_member_without_room_downloads_nothing(pair: Company, hub: ScriptedHub) -> None:
    wanted = hub.wanted()
    huge = WantedDownload(wanted.repo, COMMIT, (HubFile("huge.gguf", 1 << 45),), 1)
    with pytest.raises(OperationRefused, match=r"bert does not download: it lacks .* of disk space"):
        await fetched(pair, huge)
    assert hub.asked == []


async def test_what_is_no_request_downloads_nothing(pair: Company, hub: ScriptedHub) -> None:
    for request in ({**hub.wanted().message(), "repo": "../.."}, ["x"], b"x"):
        session = await pair.anna.machine.streams.open(
            pair.bert.node.id, pair.anna.driver.endpoints(pair.bert.node.id), StreamKind.FETCH, {}
        )
        await session.send_message(request)
        answer = await session.receive_message()
        assert answer["error"][0] == "failed"
        await session.aclose()
    assert hub.asked == []


async def test_a_member_that_says_nothing_is_not_waited_for(
    pair: Company, hub: ScriptedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(session: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(fetch_stream, "SILENCE_SECONDS", 0.1)
    pair.machines[1].handlers[StreamKind.FETCH] = silent
    with pytest.raises(MeshError, match="bert does not download: it says nothing any more"):
        await fetched(pair, hub.wanted())


async def test_a_member_of_an_older_program_is_named(pair: Company, hub: ScriptedHub) -> None:
    del pair.machines[1].handlers[StreamKind.FETCH]
    with pytest.raises(MeshError, match=r"bert does not download: .*serves no stream") as caught:
        await fetched(pair, hub.wanted())
    assert "upgrade it there" in caught.value.hint


@pytest.mark.parametrize(
    ("rights", "asker", "words"),
    [
        (Rights.WORK | Rights.LEAD, "bert", "only owners may have a member download"),
        (ALL_RIGHTS & ~Rights.LEAD, "anna", "it may not lead"),
    ],
)
async def test_only_owners_ask_and_only_members_that_may_lead_download(
    tmp_path: Path, hub: ScriptedHub, rights: Rights, asker: str, words: str
) -> None:
    async with company(tmp_path, rights) as both:
        asking, asked = (both.anna, both.bert) if asker == "anna" else (both.bert, both.anna)
        with pytest.raises(OperationRefused, match=words):
            await have_downloaded(asking, asked.node.id, hub.wanted(), Events().emit)
        assert hub.asked == []


@pytest.mark.parametrize(
    "given",
    [
        None, [], {"text": 7, "done": -1, "total": 5}, {"progress": float("nan"), "rate": "fast"},
        {"done": True, "total": 1}, {"eta_seconds": float("inf"), "done": 1 << 63, "total": 1},
    ],
)  # fmt: skip
def test_of_a_members_progress_only_numbers_are_taken_over(given: Any) -> None:
    assert read_progress(given, "bert") == {"text": "bert: "}


def test_a_members_words_are_cleaned() -> None:
    told = {"text": "a\x1b[2J\nb" + "x" * 1000, "progress": 7, "done": 1, "total": 2}
    event = read_progress(told, "bert")
    assert event["text"].startswith("bert: a [2J b")
    assert len(event["text"]) < 500
    assert (event["progress"], event["done"], event["total"]) == (1.0, 1, 2)
    with pytest.raises(OperationRefused, match="bert does not download: no") as caught:
        read_answer({"error": ["No Word", "no", 3]}, "bert")
    assert (caught.value.code, caught.value.hint) == ("failed", "")


@pytest.mark.parametrize(
    "held",
    [
        None, ["m", 1], ["m", 0, bytes(32)], ["m", True, bytes(32)], [1, 1, bytes(32)], ["m", 1, bytes(31)],
        ["m", 1, "x" * 32],
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(held: object) -> None:
    with pytest.raises(DecodeError):
        read_answer({"held": held}, "bert")
    good = ["m", 1, bytes(32)]
    assert read_answer({"held": good, "projector": held}, "bert") == Downloaded(Model("m", 1, bytes(32)))
