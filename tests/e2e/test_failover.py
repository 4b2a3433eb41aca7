"""Parts of a pool fail in the middle of an answer, and the client gets every token of it.

Five hosts; the client asks one that neither leads nor would be next. The pool is shared: after each fault it
is put right, and must be whole again before the next.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from mesh.engine.types import Engine
from mesh.protocol.base.settings import Settings
from tests.e2e import failing
from tests.e2e.failing import (
    CHAT,
    CONTEXT,
    NATIVE,
    PROMPT,
    TOKENS,
    Answer,
    Five,
    Strike,
    answer,
    five,
)
from tests.e2e.pools import alive, chat, is_ready, join, leader, status_when
from tests.lab.lab import Lab
from tests.leader.llama.bare_server import bare_server, post

EARLY = 150
LEASE_SECONDS = Settings().lease
KILLS = (failing.kill_leaders_sidecar, failing.kill_llama_server, failing.kill_rpc_server)
OTHERS = (
    failing.stop_llama_server,
    failing.stop_rpc_server,
    failing.pull_leaders_cable,
    failing.pull_workers_cable,
    failing.kill_leader_and_worker,
)
Fault = Callable[[Five], Strike]
FAST: tuple[tuple[Fault, ...], ...] = (
    KILLS,  # one after the other, in one answer
    *((fault,) for fault in (*OTHERS, failing.stop_leaders_sidecar, failing.cut_in_two)),
)


@pytest.fixture(scope="module")
def shared(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Five]:
    with Lab() as lab:
        yield five(lab, tmp_path_factory.mktemp("failover"))


@pytest.fixture
async def pool(shared: Five) -> Five:
    """Whole, whatever the test before has left."""
    await shared.mend()
    status = await shared.settle()
    assert leader(status) != shared.asked.name
    return shared


@pytest.fixture(scope="module")
def undisturbed() -> list[Answer]:
    """The chat answer that nothing happens to, once it was asked for."""
    return []


@pytest.fixture
async def wanted(pool: Five, undisturbed: list[Answer]) -> str:
    """The text of that answer."""
    if not undisturbed:
        whole = await answer(pool, CHAT, "exact")
        assert (whole.tokens, whole.pauses) == (TOKENS, [])
        undisturbed.append(whole)
    return undisturbed[0].text


def named(fault: Fault | tuple[Fault, ...]) -> str:
    return "-".join(one.__name__ for one in fault) if isinstance(fault, tuple) else fault.__name__


def striking(pool: Five, fault: Fault) -> Callable[[], Awaitable[None]]:
    """Look for whom it is to strike only when it is time."""

    async def do() -> None:
        fault(pool)()

    return do


def struck(strike: Strike) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        strike()

    return do


def strikes(pool: Five, *faults: Fault) -> Mapping[int, Callable[[], Awaitable[None]]]:
    """A fault early in the answer, or several in a row: each strikes what there is at its time."""
    for fault in faults:
        fault(pool)  # skips the test where it cannot be had
    times = (EARLY,) if len(faults) == 1 else (100, 200, 300)
    return dict(zip(times, (striking(pool, fault) for fault in faults), strict=True))


async def healed(pool: Five) -> None:
    """Afterwards there is one leader with one llama-server, and no gate has let in two."""
    await pool.mend()
    await pool.settle()
    assert pool.crowded_gates() == []


@pytest.mark.parametrize("fault", KILLS + OTHERS, ids=named)
async def test_a_replayed_answer_is_that_of_an_undisturbed_run(pool: Five, wanted: str, fault: Fault) -> None:
    got = await answer(pool, CHAT, "exact", strikes(pool, fault))
    assert got.pauses, "the answer was disturbed"
    assert got.text == wanted
    await healed(pool)


@pytest.mark.parametrize("faults", FAST, ids=named)
async def test_an_answer_goes_on_fast_as_a_bare_llama_server_goes_on_from_the_same_ids(
    pool: Five, engine: Engine, tmp_path: Path, faults: tuple[Fault, ...]
) -> None:
    got = await answer(pool, NATIVE, "fast", strikes(pool, *faults))
    assert len(got.pauses) >= len(faults), "the answer was disturbed"
    assert len(got.ids) == TOKENS
    split = ("-c", str(CONTEXT), "--no-kv-unified", "--device", "none", "-ngl", "0")
    async with bare_server(engine.llama_server, pool.model, tmp_path, *split) as url:
        asked = {"content": PROMPT, "add_special": True, "parse_special": True}
        prompt = (await post(f"{url}/tokenize", asked))["tokens"]
        for begin, end in pairwise([0, *got.pauses, TOKENS]):
            body = {"prompt": prompt + got.ids[:begin], "n_predict": end - begin, "temperature": 0}
            bare = await post(f"{url}/completion", {**body, "return_tokens": True, "cache_prompt": False})
            assert got.ids[begin:end] == bare["tokens"]
    await healed(pool)


async def test_an_answer_survives_three_kills_in_a_row(pool: Five, wanted: str) -> None:
    got = await answer(pool, CHAT, "exact", strikes(pool, *KILLS))
    assert len(got.pauses) >= len(KILLS)
    assert got.text == wanted
    await healed(pool)


async def test_halves_of_a_cut_pool_serve_each_by_itself_and_have_one_leader_once_healed(
    pool: Five, wanted: str
) -> None:
    before = pool.leading()
    got = await answer(pool, CHAT, "exact", strikes(pool, failing.cut_in_two))
    assert got.text == wanted
    assert pool.leading() is not before, "the half of the client has a leader of its own"
    assert leader(pool.status(before)) == before.name, "and the other half has kept its"
    assert wanted.startswith(await chat(before))
    await healed(pool)


async def test_who_was_cut_off_and_claimed_disturbs_nobody_when_its_cable_is_back(
    pool: Five, wanted: str
) -> None:
    failing.need_namespaces(pool)
    before, stray = pool.leading(), pool.following()
    stray.cut()
    await status_when(stray, lambda status: leader(status) == stray.name)
    await status_when(before, lambda status: stray.name not in alive(status) and is_ready(status))
    engine, terms = (
        before.engine("llama-server"),
        [pool.status(host)["leader"]["term"] for host in (before, stray)],
    )
    assert terms[1] > terms[0]
    got = await answer(pool, CHAT, "exact", {10: struck(stray.heal)})
    assert got.pauses == []
    assert got.text == wanted
    status = await pool.settle()
    assert leader(status) == before.name
    assert status["leader"]["term"] > terms[1], "it met the claim, and went on"
    assert before.engine("llama-server") == engine
    await healed(pool)


async def test_who_led_and_was_only_slow_is_fenced_and_lets_its_engine_go_within_a_lease(
    pool: Five, wanted: str
) -> None:
    before = pool.leading()
    got = await answer(pool, CHAT, "exact", strikes(pool, failing.stop_leaders_sidecar))
    assert got.text == wanted
    after = pool.leading()
    assert after is not before
    engine = before.engine("llama-server")
    pool.thaw()
    await pool.until_gone(engine, LEASE_SECONDS)
    assert pool.leading() is after, "it takes nothing back"
    await healed(pool)


async def test_a_leader_whose_disk_is_full_goes_on_and_starts_its_engine_again(
    pool: Five, wanted: str
) -> None:
    failing.need_namespaces(pool)
    before = pool.leading()
    ends = {100: struck(before.fill_disk), 200: striking(pool, failing.kill_llama_server)}
    got = await answer(pool, CHAT, "exact", ends)
    assert min(got.pauses) >= 200, "room is needed for nothing"
    assert got.text == wanted
    assert pool.leading() is before
    await healed(pool)


async def test_a_leader_that_owes_its_full_disk_a_promise_is_silent_and_another_follows(
    pool: Five, wanted: str
) -> None:
    failing.need_namespaces(pool)
    before, name = pool.leading(), pool.newcomer.name
    join(pool.newcomer, pool.token, "--no-work", "--no-lead")
    await status_when(before, lambda status: name in alive(status))

    async def evict() -> None:
        before.fill_disk()
        refused = await before.amesh("evict", name, "--yes", check=False)
        assert refused.returncode == 1
        assert "No space left on device" in refused.stderr

    got = await answer(pool, CHAT, "exact", {10: evict})
    assert got.text == wanted
    await pool.until_another_leads(before, LEASE_SECONDS)
    await pool.until_gone(before.engine("llama-server"), LEASE_SECONDS)
    assert "trouble" in pool.status(before)
    assert wanted.startswith(await chat(pool.asked))
    await healed(pool)
    await status_when(pool.asked, lambda status: name not in alive(status))


async def test_who_would_follow_and_cannot_note_it_is_passed_over(pool: Five, wanted: str) -> None:
    full = pool.following()
    got = await answer(
        pool, CHAT, "exact", {EARLY: struck(failing.fill_followers_disk_and_kill_leader(pool))}
    )
    assert got.pauses, "the answer was disturbed"
    assert got.text == wanted
    assert pool.leading() is not full
    assert "trouble" in pool.status(full)
    await healed(pool)
