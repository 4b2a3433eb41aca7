"""What an order costs is noted with its member, and llama-server's deaths with whom it computed for."""

import pytest
import trio

from leader.door.askers.accounts import Askers, Ticket
from leader.door.askers.blame import EngineDeaths
from leader.door.askers.limits import Limits
from mesh.runtime.clock import now
from mesh.serving.asking.bill import Bill


def bill_of(askers: Askers, deaths: EngineDeaths, digest: bytes = b"d") -> Bill:
    ticket = askers.begin(now(), "anna", owner=False)
    assert isinstance(ticket, Ticket)
    return Bill(ticket, deaths, "anna", digest, owner=False)


async def connect() -> trio.abc.Stream:
    near, _ = trio.testing.memory_stream_pair()
    return near


async def refuse() -> trio.abc.Stream:
    raise ConnectionRefusedError


def test_a_member_has_as_many_in_flight_as_it_may_and_each_counts_once() -> None:
    askers, deaths = Askers(Limits(in_flight=1)), EngineDeaths()
    first, second = bill_of(askers, deaths), bill_of(askers, deaths)
    first.starts()
    first.starts()
    assert (first.may_start(), second.may_start()) == (True, False)
    account = askers.accounts()["anna"]
    assert (account.in_flight, account.queued) == (1, 1)


async def test_llama_server_has_it_from_when_it_takes_a_connection() -> None:
    deaths = EngineDeaths()
    bill = bill_of(Askers(), deaths)
    with bill.kept():
        with pytest.raises(ConnectionRefusedError):
            await bill.noting(refuse)()
        assert deaths.present(now()) == []
        await bill.noting(connect)()
        await bill.noting(connect)()
        assert deaths.present(now()) == ["anna"]
        bill.whole = True
    assert deaths.present(now()) == []


async def test_one_that_was_given_up_may_end_llama_server_a_moment_later() -> None:
    deaths = EngineDeaths()
    bill = bill_of(Askers(), deaths)
    with bill.kept():
        await bill.noting(connect)()
    assert deaths.died(now()) == ("anna",)
    refused = bill.refusal()
    assert refused is not None
    assert (refused.status, bill.goes_first) == (429, True)


def test_its_tokens_are_its_members() -> None:
    askers = Askers()
    bill_of(askers, EngineDeaths()).tokens(7, 3, 2)
    account = askers.accounts()["anna"]
    assert (account.prompt_tokens, account.generated_tokens) == (7, 3)
