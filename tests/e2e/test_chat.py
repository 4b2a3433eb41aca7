"""`mesh chat` as a person uses it, in a pool of three whose leader dies in the middle of an answer."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from mesh.engine.types import Engine
from tests.e2e.pools import form_pool, leader, make_model
from tests.lab.host import MESH, Host
from tests.lab.lab import Lab
from tests.lab.terminal import OnTerminal

SERVE = ("--ctx", "1024", "--slots", "1", "--copies", "1", "--wait")
PROMPT = r"\x1b\[\?2004h[^\n]*>"
CTRL_C, CTRL_D = "\x03", "\x04"


class Pool(NamedTuple):
    """The host that leads, the one that would lead next, and the one at which the person sits."""

    leading: Host
    following: Host
    asked: Host


@pytest.fixture(scope="module")
def pool(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One for all tests; the one that kills the leader is the last."""
    with Lab() as lab:
        hosts = lab.hosts(3)
        form_pool(hosts)
        model = make_model(tmp_path_factory.mktemp("chat"), size=40_000_000)
        hosts[0].mesh("serve", model, *SERVE, timeout=120)
        name = leader(hosts[0].status())
        leading = next(host for host in hosts if host.name == name)
        following, asked = (host for host in hosts if host is not leading)
        following.mesh("serve", model, *SERVE, timeout=120)
        yield Pool(leading, following, asked)


async def test_one_answer_goes_to_a_pipe_and_as_json_to_a_script(pool: Pool) -> None:
    told = await pool.asked.amesh_json("chat", "What is this?", stdin="A text\n", timeout=120)
    assert told["tokens"] > 1
    assert told["text"]
    assert told["leader"]["name"] == pool.leading.name
    assert {one["name"] for one in told["computed_by"]} <= {host.name for host in pool}

    answer = await pool.asked.amesh("chat", stdin="Hello\n", timeout=120)
    assert answer.stdout.strip()
    command = 'echo Hello | "$0" chat | head -c 5'
    cut = await pool.asked.arun(["bash", "-c", command, MESH], timeout=120)
    assert (len(cut.stdout.encode()), cut.stderr) == (5, "")


async def test_a_conversation_goes_on_over_the_death_of_the_leader(pool: Pool) -> None:
    pool.asked.environment |= {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    async with OnTerminal(pool.asked, [MESH, "chat"]) as terminal:
        await terminal.shows(f"{pool.leading.name} leads")
        await terminal.shows(PROMPT)
        terminal.types("What holds this model together?\r")
        await terminal.shows(r"(?s)together\?.{200}")
        pool.leading.kill_sidecar()
        await terminal.shows("the leader was lost")
        paused = len(terminal.printed)
        goes_on = r"\x1b8(?:(?!\x1b8).){200}"  # the cursor is back in the answer, and stays there
        await terminal.shows(rf"(?s)^.{{{paused}}}.*{pool.following.name} leads now.*{goes_on}", 60)
        terminal.types(CTRL_C)
        await terminal.shows(rf"(?s)\(cut\).*{PROMPT}")

        terminal.printed = ""
        terminal.types("/stats\r")
        await terminal.shows(f"the leader {pool.leading.name} was lost, {pool.following.name} leads now")
        await terminal.shows(rf"(?s){pool.following.name} leads.*{PROMPT}")

        terminal.types("And now?\r")
        await terminal.shows(r"(?s)And now\?.*\?2004l.{200}")
        terminal.types(CTRL_C)
        await terminal.shows(rf"(?s)And now.*\(cut\).*{PROMPT}")
        terminal.types(CTRL_D)
        assert await terminal.ends() == 0
