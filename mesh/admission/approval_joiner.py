"""`mesh join` without a token, on a network with pools: show a code for each, and wait for an approval.

Each pool gets a code of its own, so that a stranger who announces a pool cannot use up another's. A code that
was tried, rightly or wrongly, is replaced; after a few wrong ones the applicant gives the pool up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from mesh.admission.codes import Code
from mesh.admission.handshake import (
    AdmissionClient,
    AdmissionRefused,
    Admitted,
    Greeting,
    OddAnswer,
    admitted,
    raw,
)
from mesh.admission.pake import Pake, WrongCode, signed_opening
from mesh.admission.pool_names import pool_name
from mesh.admission.search import Say, Search
from mesh.net.session import StreamError
from mesh.net.versions_preface import OtherVersion
from mesh.protocol.trust.chain import verify_chain
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import Identity, PoolId, id_text, verify
from mesh.wire.rights import Rights

WAIT_SECONDS = 600.0
VERDICT_SECONDS = 30.0
RETRY_SECONDS = 1.0
MAX_POOLS = 4
MAX_WRONG = 5

PoolEndpoints = Callable[[], Mapping[PoolId | None, Sequence[Endpoint]]]
"""The pools seen at present, with members' addresses; None stands for any pool found at them."""


async def await_approval(search: Search, where: PoolEndpoints) -> Admitted:
    """Wait at one member of each pool until an owner approves.

    MeshError after ten minutes, or if all refuse.
    """
    failures: list[MeshError] = []
    won: list[Admitted] = []

    async def wait(pool: PoolId | None) -> None:
        try:
            won.append(await _wait_in_turn(search, lambda: where().get(pool, ()), pool))
            nursery.cancel_scope.cancel()
        except MeshError as error:
            await search.say(f"given up: {error}")
            failures.append(error)

    with trio.move_on_after(WAIT_SECONDS):
        async with trio.open_nursery() as nursery:
            for pool in list(where())[:MAX_POOLS]:
                nursery.start_soon(wait, pool)
    if won:
        return won[0]
    if failures:
        raise failures[0]
    raise MeshError(
        f"nobody approved this machine within {WAIT_SECONDS / 60:.0f} minutes",
        "try again when an owner is at hand, or ask for a token: mesh invite",
    )


async def _wait_in_turn(
    search: Search, endpoints: Callable[[], Sequence[Endpoint]], pool: PoolId | None
) -> Admitted:
    """For one pool: ask its members in turn, with a new code whenever the old one was tried.

    Raises `OtherVersion` when all that answer speak no wire version of this machine.
    """
    wrong, code, shown = 0, Code.new(), ""
    while True:
        other: OtherVersion | None = None
        answered = False
        for endpoint in list(endpoints()):
            try:
                client = await AdmissionClient.connect(search.streams, endpoint)
            except OtherVersion as error:
                other = error
                continue
            except (StreamError, MeshError):
                continue
            answered = True
            greeting = client.greeting
            try:
                if greeting.state != "member" or pool not in (None, greeting.pool):
                    continue
                if shown != str(code):
                    shown = str(code)
                    await _show(search.say, greeting, code)
                return await wait_for_owner(client, search.identity, search.name, code)
            except WrongCode as error:
                wrong, code = wrong + 1, Code.new()
                if wrong >= MAX_WRONG:
                    raise MeshError(
                        f"{wrong} wrong codes were tried", "somebody guesses; ask for a token: mesh invite"
                    ) from error
                await search.say(f"{pool_name(greeting.pool)}: a wrong code was tried, here is a new one")
                break
            except AdmissionRefused:
                raise
            except (StreamError, DecodeError, MeshError):
                continue  # that member is gone; another may answer
            finally:
                await client.aclose()
        if other is not None and not answered:
            raise other
        await trio.sleep(RETRY_SECONDS)


async def _show(say: Say, greeting: Greeting, code: Code) -> None:
    name = pool_name(greeting.pool)
    await say(f"found pool {name} ({id_text(greeting.pool)[:8]}), seen at {greeting.name}")
    await say(f"an owner of {name} lets this machine in by typing:")
    await say(f"  mesh approve {code}")
    await say("waiting; Ctrl-C ends it")


async def wait_for_owner(client: AdmissionClient, identity: Identity, name: str, code: Code) -> Admitted:
    """Wait at a member until an owner tries the code. WrongCode when the owner used another."""
    await client.request(identity, name, {"slot": code.slot})
    await _expect_answer(client, identity.public_key, waiting=True)
    while True:
        opening = await _expect_answer(client, identity.public_key)
        owner_key = _owner(opening, client.greeting.pool, identity.public_key)
        if owner_key is None:
            raise OddAnswer("the machine at the door lies about who owns its pool")
        exchange = Pake("joiner", code, client.greeting.pool, owner_key, identity.public_key)
        exchange.agree(raw(opening["opening"]))
        # From here on the code is used up, whatever follows.
        try:
            await client.session.send_message(
                {"opening": exchange.opening, "proof": exchange.proof("joiner")}
            )
            with trio.fail_after(VERDICT_SECONDS):
                verdict = await client.session.receive_message()
            result = admitted(verdict, client.greeting.pool, identity.public_key)
            exchange.check(raw(verdict["proof"]), "owner", result.chain)
        except (MeshError, trio.TooSlowError, TypeError, KeyError) as error:
            raise WrongCode("that code was wrong") from error
        await client.session.send_message({"entered": True})
        return result


async def _expect_answer(client: AdmissionClient, key: bytes, waiting: bool = False) -> dict[str, Any]:
    """The next message; a refusal in it is raised as `admitted` does."""
    message = await client.session.receive_message()
    if not isinstance(message, dict) or "error" in message or (waiting and not message.get("waiting")):
        admitted(message, client.greeting.pool, key)  # raises the refusal
        raise OddAnswer("the member's answer makes no sense")
    return message


def _owner(opening: dict[str, Any], pool: PoolId, joiner_key: bytes) -> bytes | None:
    """The key of an owner of ``pool`` that signed this opening for this machine; None if none did."""
    try:
        chain = [raw(link) for link in opening["chain"]]
        vouched, key, rights = verify_chain(chain, verify)
        signed = signed_opening(pool, joiner_key, raw(opening["opening"]))
        mine = vouched == pool and Rights.OWN in rights and verify(key, signed, raw(opening["signature"]))
    except (KeyError, TypeError, MeshError):
        return None
    return key if mine else None
