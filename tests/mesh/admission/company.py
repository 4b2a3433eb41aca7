"""Machines that ask a member to be let in, and a pool of two with a third before it."""

from mesh.admission.handshake import AdmissionClient, Admitted
from mesh.admission.invites import Token
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.machines import Ground, Here


async def ask(joiner: Here, member: Here, token: Token | None = None) -> Admitted:
    """Ask that member once, with an invite or without."""
    client = await AdmissionClient.connect(joiner.streams, member.endpoint)
    try:
        return await client.ask(joiner.identity, joiner.name, token)
    finally:
        await client.aclose()


async def in_company(ground: Ground, rights: Rights = ALL_RIGHTS) -> tuple[Here, Here, Here]:
    """Anna's pool with bert in it, by these rights, their nodes talking; carl stands outside."""
    anna, bert, carl = [await ground.machine(name) for name in ("anna", "bert", "carl")]
    anna.found()
    bert.enter(await ask(bert, anna, anna.invite(rights=rights)))
    await ground.acquaint(anna, bert)
    return anna, bert, carl
