"""A machine without an invite shows a code, and gets in when an owner types it, at whatever machine."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mesh.admission import approval_joiner
from mesh.admission.approval_joiner import WAIT_SECONDS, await_approval
from mesh.admission.approval_owner import MAX_WRONG, WRONG_SECONDS, Approver
from mesh.admission.codes import Code
from mesh.admission.handshake import AdmissionClient, AdmissionRefused, Admitted
from mesh.admission.pairing_lobby import MAX_WAITING_OF_A_HOST, Applicant
from mesh.admission.pake import Pake, signed_opening
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.net.versions_preface import OtherVersion, ProgramVersion
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, PoolId
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.versions import Versions
from tests.mesh.admission.company import in_company
from tests.mesh.machines import Ground, Here
from tests.waiting import MOCKED_PAUSE, until

PoolEndpoints = dict[PoolId | None, Sequence[Endpoint]]


class Joiner:
    """A machine that waits, in a task of its own."""

    def __init__(self, here: Here) -> None:
        self.here = here
        self.admitted: Admitted | None = None
        self.error: MeshError | None = None
        self.scope = trio.CancelScope()

    async def wait(self, endpoints: PoolEndpoints) -> None:
        with self.scope:
            try:
                self.admitted = await await_approval(self.here.search(), lambda: endpoints)
            except MeshError as error:
                self.error = error

    def codes(self) -> list[Code]:
        """All codes that it has shown."""
        lines = [line for line in self.here.said if "mesh approve" in line]
        return [Code.parse(line.rpartition(" ")[2]) for line in lines]


async def waiting(nursery: trio.Nursery, here: Here, *members: Here) -> Joiner:
    """Bert waits at a member of the pool, the first that answers."""
    joiner = Joiner(here)
    pool = members[0].driver.pool if members[0].driver else None
    endpoints: PoolEndpoints = {pool: [member.endpoint for member in members]}
    nursery.start_soon(joiner.wait, endpoints)
    await until_waiting(joiner, members[0])
    return joiner


async def until_waiting(joiner: Joiner, at: Here, codes: int = 1) -> None:
    await until(
        lambda: (
            len(joiner.codes()) >= codes
            and bool(at.admission_server.lobby.applicants(joiner.codes()[-1].slot))
        ),
        pause=MOCKED_PAUSE,
    )


def approver(here: Here) -> Approver:
    return Approver(here.identity, here.streams, here.admission_server, trio.current_time)


async def approve(owner: Here, code: Code, rights: Rights = Rights.WORK) -> Applicant:
    assert owner.driver is not None
    return await approver(owner).approve(owner.driver, code, rights)


def other(code: Code) -> Code:
    words = ("swift", "otter", "elm")
    return Code(code.slot, words if code.words != words else ("calm", "otter", "elm"))


async def test_an_owner_who_types_the_code_lets_the_machine_in(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    applicant = await approve(anna, joiner.codes()[0])
    assert (applicant.name, applicant.key) == ("bert", bert.identity.public_key)
    assert anna.node.rights(bert.id) == Rights.WORK
    await trio.testing.wait_all_tasks_blocked()
    assert joiner.admitted is not None
    bert.enter(joiner.admitted)
    assert bert.node.keys() == anna.node.keys()


async def test_the_line_to_type_stands_alone_so_that_no_terminal_breaks_it(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    *_, line, last = bert.said
    assert line == f"  mesh approve {joiner.codes()[0]}"
    assert last == "waiting; Ctrl-C ends it"


async def test_the_rights_are_those_that_the_owner_gives(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    await approve(anna, joiner.codes()[0], ALL_RIGHTS)
    assert anna.node.rights(bert.id) == ALL_RIGHTS


async def test_an_owner_reaches_a_machine_at_the_door_of_a_member_that_is_none(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert, carl = await in_company(ground, Rights.WORK)
    joiner = await waiting(nursery, carl, bert)
    await approve(anna, joiner.codes()[0])
    await trio.testing.wait_all_tasks_blocked()
    assert joiner.admitted is not None
    assert joiner.admitted.pool == anna.own_pool
    assert anna.node.rights(carl.id) == Rights.WORK


async def test_a_wrong_code_lets_nobody_in_and_is_replaced(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    first = joiner.codes()[0]
    with pytest.raises(MeshError, match="code is wrong") as caught:
        await approve(anna, other(first))
    assert "type the one that the machine shows" in caught.value.hint
    await until_waiting(joiner, anna, codes=2)
    assert joiner.admitted is None
    assert anna.node.chain(bert.id) == []
    second = joiner.codes()[1]
    assert second.words != first.words
    await approve(anna, second)
    await trio.testing.wait_all_tasks_blocked()
    assert joiner.admitted is not None


async def test_the_code_that_was_tried_is_worth_nothing_afterwards(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    first = joiner.codes()[0]
    with pytest.raises(MeshError):
        await approve(anna, other(first))
    await until_waiting(joiner, anna, codes=2)
    with pytest.raises(MeshError, match=r"code is wrong|no machine that waits"):
        await approve(anna, first)


async def test_a_pool_where_codes_are_guessed_is_given_up(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    for tried in range(1, approval_joiner.MAX_WRONG + 1):
        with pytest.raises(MeshError, match="code is wrong"):
            await approve(anna, other(joiner.codes()[-1]))
        if tried < approval_joiner.MAX_WRONG:
            await until_waiting(joiner, anna, codes=tried + 1)
    await until(lambda: joiner.error is not None, pause=MOCKED_PAUSE)
    assert joiner.error is not None
    assert "wrong codes were tried" in joiner.error.message


async def test_an_owner_who_types_wrong_codes_over_and_over_has_to_wait(
    clock: MockClock, ground: Ground
) -> None:
    anna = await ground.machine("anna")
    anna.found()
    assert anna.driver is not None
    one = approver(anna)
    one._wrong = [trio.current_time()] * MAX_WRONG
    with pytest.raises(MeshError, match="codes were wrong"):
        await one.approve(anna.driver, Code.new(), Rights.WORK)
    await trio.sleep(WRONG_SECONDS)
    with pytest.raises(MeshError, match="no machine that waits"):
        await one.approve(anna.driver, Code.new(), Rights.WORK)


async def test_when_nobody_approves_it_ends_after_ten_minutes(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    await trio.sleep(WAIT_SECONDS + 5)
    assert joiner.error is not None
    assert "nobody approved" in joiner.error.message
    assert anna.admission_server.lobby.applicants(joiner.codes()[0].slot) == []


async def test_a_machine_that_goes_away_waits_no_longer(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    joiner = await waiting(nursery, bert, anna)
    joiner.scope.cancel()
    await trio.sleep(1)
    with pytest.raises(MeshError, match="no machine that waits") as caught:
        await approve(anna, joiner.codes()[0])
    assert "mesh join" in caught.value.hint


async def test_when_the_member_that_lets_in_goes_another_is_waited_at_with_the_same_code(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert, carl = await in_company(ground)
    joiner = await waiting(nursery, carl, bert, anna)
    (at_bert,) = bert.admission_server.lobby._waiting.values()
    bert.admission_server.moving = True
    at_bert.session.cut()
    await until_waiting(joiner, anna)
    assert len(joiner.codes()) == 1
    await approve(anna, joiner.codes()[0])
    await trio.testing.wait_all_tasks_blocked()
    assert joiner.admitted is not None


async def test_each_pool_that_is_seen_gets_a_code_of_its_own(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, mallory, bert = [await ground.machine(name) for name in ("anna", "mallory", "bert")]
    anna.found()
    mallory.found()
    joiner = Joiner(bert)
    endpoints: PoolEndpoints = {
        anna.own_pool: [anna.endpoint],
        mallory.own_pool: [mallory.endpoint],
    }
    nursery.start_soon(joiner.wait, endpoints)
    await until(lambda: len(joiner.codes()) == 2, pause=MOCKED_PAUSE)
    await trio.sleep(1)
    pools = [line.split()[2] for line in bert.said if line.startswith("found pool")]
    by_pool = dict(zip(pools, joiner.codes(), strict=True))
    assert len({code.words for code in by_pool.values()}) == 2
    with pytest.raises(MeshError):
        await approve(mallory, other(by_pool[mallory.admission_server.pool_name]))
    await approve(anna, by_pool[anna.admission_server.pool_name])
    await trio.testing.wait_all_tasks_blocked()
    assert joiner.admitted is not None
    assert joiner.admitted.pool == anna.own_pool


async def test_a_door_of_another_pool_than_was_announced_is_passed_by(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    mallory, bert = await ground.machine("mallory"), await ground.machine("bert")
    mallory.found()
    joiner = Joiner(bert)
    endpoints: PoolEndpoints = {PoolId(b"p" * 16): [mallory.endpoint]}
    nursery.start_soon(joiner.wait, endpoints)
    await trio.sleep(10)
    assert joiner.codes() == []


async def test_where_no_member_in_sight_speaks_its_version_a_machine_gives_the_pool_up(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    anna.streams.here = ProgramVersion(Versions(5, 6))
    joiner = Joiner(bert)
    with trio.fail_after(5):
        await joiner.wait({anna.own_pool: [Endpoint(anna.endpoint.host, 1), anna.endpoint]})
    assert isinstance(joiner.error, OtherVersion)
    assert joiner.error.theirs == anna.streams.here


async def test_where_one_member_in_sight_speaks_its_version_a_machine_waits_at_that_one(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert, carl = await in_company(ground)
    bert.streams.here = ProgramVersion(Versions(5, 6))
    joiner = Joiner(carl)
    endpoints: PoolEndpoints = {anna.own_pool: [anna.endpoint, bert.endpoint]}
    nursery.start_soon(joiner.wait, endpoints)
    await until_waiting(joiner, anna)
    assert joiner.error is None


async def test_two_of_one_host_may_wait_and_a_third_is_refused(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    for number in range(MAX_WAITING_OF_A_HOST):
        client = await AdmissionClient.connect(bert.streams, anna.endpoint)
        nursery.start_soon(_wait_for_ever, client, f"one{number}")
    await trio.sleep(1)
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    with pytest.raises(AdmissionRefused, match="too many machines wait"):
        await approval_joiner.wait_for_owner(client, bert.identity, "bert", Code.new())
    await client.aclose()


async def _wait_for_ever(client: AdmissionClient, name: str) -> None:
    try:
        await approval_joiner.wait_for_owner(client, Identity.generate(), name, Code.new())
    finally:
        with trio.CancelScope(shield=True):
            await client.aclose()


async def test_who_waits_and_says_more_than_it_is_asked_for_is_sent_away(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    await client.request(bert.identity, "bert", {"slot": 7})
    assert await client.session.receive_message() == {"waiting": True}
    for _ in range(3):
        await client.session.send_message("let me in")
    with pytest.raises(MeshError), trio.fail_after(5):
        await client.session.receive_message()
    await client.aclose()
    assert anna.admission_server.lobby.applicants(7) == []


@pytest.mark.parametrize("slot", [-1, 100, "7", None, True])
async def test_a_number_that_no_code_has_is_refused(clock: MockClock, ground: Ground, slot: Any) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    await client.request(bert.identity, "bert", {"slot": slot})
    assert "error" in await client.session.receive_message()
    await client.aclose()


# --- members that lie


async def test_only_an_owner_may_ask_who_waits(clock: MockClock, ground: Ground) -> None:
    anna, bert, _ = await in_company(ground, Rights.WORK)
    session = await bert.streams.open(anna.id, [anna.endpoint], StreamKind.APPROVE, {"slot": 1})
    assert "only an owner" in (await session.receive_message())["error"]
    await session.aclose()


class Liar:
    """A member that sends applicants what the test gives it, in place of an owner's messages."""

    def __init__(self, here: Here) -> None:
        self.here = here
        self.answers: list[Any] = []

    async def handle(self, session: Session, *said: Any) -> None:
        await session.send_message(self.here.admission_server.greeting().message())
        await session.receive_message()
        await session.send_message({"waiting": True})
        for message in said:
            await session.send_message(message)
            self.answers.append(await session.receive_message())


@pytest.mark.parametrize("lie", ["no chain", "no owner", "unsigned", "signed for another machine"])
async def test_a_member_that_is_no_owner_cannot_use_a_code_up(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, lie: str
) -> None:
    anna, bert, carl = await in_company(ground, Rights.WORK)
    code = Code.new()
    key = carl.identity.public_key
    exchange = Pake("owner", code, anna.own_pool, anna.identity.public_key, key)
    target = bert.identity.public_key if lie == "signed for another machine" else key
    signature = anna.identity.sign(signed_opening(anna.own_pool, target, exchange.opening))
    opening = {
        "chain": list(anna.node.chain(bert.id if lie == "no owner" else anna.id)),
        "opening": exchange.opening,
        "signature": bytes(64) if lie == "unsigned" else signature,
    }
    if lie == "no chain":
        opening["chain"] = []
    liar = Liar(bert)
    bert.handlers[StreamKind.ADMIT] = lambda session: liar.handle(session, opening)
    client = await AdmissionClient.connect(carl.streams, bert.endpoint)
    with pytest.raises(MeshError, match="lies about who owns"):
        await approval_joiner.wait_for_owner(client, carl.identity, "carl", code)
    await client.aclose()
    assert liar.answers == []
