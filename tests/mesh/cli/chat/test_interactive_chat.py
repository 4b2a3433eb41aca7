"""The conversation at a pseudo-terminal, with a sidecar and a gateway that say what the test wants."""

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mesh.cli.chat.interactive_chat import HISTORY_FILE
from tests.lab.terminal import OnTerminal
from tests.mesh.cli import examples
from tests.mesh.cli.chat.scripted_gateway import (
    Part,
    ScriptedGateway,
    chunk,
    event,
    head,
    refused,
    whole,
)
from tests.mesh.cli.conftest import FakeSidecar

CTRL_C, CTRL_D = "\x03", "\x04"
PROMPT = r"\x1b\[\?2004h[^\n]*>"
"""How the line editor begins to read."""


@dataclass
class Here:
    """This machine, in place of a host of the lab."""

    folder: Path
    name: str = "here"
    environment: dict[str, str] = field(
        default_factory=lambda: {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    )

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        return [str(word) for word in argv]


@asynccontextmanager
async def chatting(sidecar: FakeSidecar, state: Path, gateway: ScriptedGateway) -> AsyncIterator[OnTerminal]:
    sidecar.answers["status"] = examples.status(api=gateway.api)
    command: list[str | Path] = [sys.executable, "-P", "-m", "mesh.cli", "--state-dir", state, "chat"]
    async with OnTerminal(Here(state), command) as terminal:
        await terminal.shows("Ctrl-D leaves")
        await terminal.shows(PROMPT)
        yield terminal


async def asks(terminal: OnTerminal, typed: str, answer: str) -> None:
    """Type a line, wait for what is said, and for the next prompt."""
    terminal.printed = ""
    terminal.types(f"{typed}\r")
    await terminal.shows(rf"(?s){answer}.*{PROMPT}")


async def test_a_conversation_is_sent_whole_and_left_by_ctrl_d(sidecar: FakeSidecar, state_dir: Path) -> None:
    with ScriptedGateway(whole("Hello", " there"), whole("You said Hi"), whole("Once more")) as gateway:
        async with chatting(sidecar, state_dir, gateway) as terminal:
            await asks(terminal, "Hi", "Hello there\r\n")
            await asks(terminal, "/stats", "computed by   alpha 0-7, beta 8-15 [+] head; beta leads")
            await asks(terminal, "/system Be brief.", "the system text: Be brief.")
            await asks(terminal, "What?", "You said Hi")
            await asks(terminal, "/retry", "Once more")
            await asks(terminal, "/sats", "did you mean /stats")
            await asks(terminal, "/new", "begins anew")
            terminal.types(CTRL_D)
            assert await terminal.ends() == 0
    talk = [[one["content"] for one in body["messages"]] for body in gateway.asked]
    assert talk[0] == ["Hi"]
    assert talk[1] == talk[2] == ["Be brief.", "Hi", "Hello there", "What?"]
    assert '"What?"' in (state_dir / HISTORY_FILE).read_text()


async def test_ctrl_c_ends_an_answer_and_not_the_chat(sidecar: FakeSidecar, state_dir: Path) -> None:
    never = threading.Event()
    slow: list[Part] = [head(), chunk("A long"), chunk(" story"), never]
    with ScriptedGateway(slow, whole("Go on")) as gateway:
        async with chatting(sidecar, state_dir, gateway) as terminal:
            terminal.types("Tell\r")
            await terminal.shows("A long story")
            terminal.types(CTRL_C)
            await terminal.shows(rf"(?s)\(cut\).*{PROMPT}")
            assert gateway.hung_up.wait(10), "the slot is free"
            await asks(terminal, "And?", "Go on")
            terminal.types(CTRL_C)
            await terminal.shows("Ctrl-C once more")
            terminal.types(CTRL_C)
            assert await terminal.ends() == 0
    assert [one["content"] for one in gateway.asked[1]["messages"]] == ["Tell", "A long story [...]", "And?"]


async def test_a_pause_for_a_leader_is_shown_and_goes_again(sidecar: FakeSidecar, state_dir: Path) -> None:
    go_on = threading.Event()
    answer: list[Part] = [head(), chunk("Once"), b": waiting for a leader\n\n", go_on]
    answer += [chunk(" upon"), chunk(finish="stop")]
    with ScriptedGateway(answer) as gateway:
        async with chatting(sidecar, state_dir, gateway) as terminal:
            terminal.types("Tell\r")
            await terminal.shows(r"the leader was lost, waiting \(")
            sidecar.answers["status"] = examples.status(
                api=gateway.api, leader={"id": examples.GAMMA, "name": "gamma", "term": 4}
            )
            await terminal.shows("gamma leads now")
            go_on.set()
            await terminal.shows(" upon")
            await asks(terminal, "/stats", "the leader beta was lost, gamma leads now")


async def test_a_refusal_is_told_and_leaves_the_conversation_as_it_was(
    sidecar: FakeSidecar, state_dir: Path
) -> None:
    busy = refused("429 Too Many Requests", "too_many_requests", "too many", "Retry-After: 1")
    full = refused("400 Bad Request", "exceed_context_size_error", "the available context size (512 tokens)")
    failed = event({"error": {"message": "the engine died", "code": "upstream_lost"}})
    answers = (busy, whole("Hello"), full, [head(), chunk("Hm"), failed], whole("Yes"))
    with ScriptedGateway(*answers) as gateway:
        async with chatting(sidecar, state_dir, gateway) as terminal:
            await asks(terminal, "Hi", r"(?s)takes no more requests now.*Hello")
            await asks(terminal, "Long", r"(?s)longer than the context of 512 tokens.*/new begins anew")
            await asks(terminal, "Well", "the answer ended early: the engine died")
            sidecar.answers["status"] = examples.status(deployment=None)
            await asks(terminal, "Now?", "no model is served")
            sidecar.answers["status"] = examples.status(api=gateway.api)
            await asks(terminal, "/retry", "Yes")
    last = [one["content"] for one in gateway.asked[-1]["messages"]]
    assert last == ["Hi", "Hello", "Well", "Hm [...]", "Now?"]


async def test_what_is_typed_while_an_answer_streams_waits_for_its_end(
    sidecar: FakeSidecar, state_dir: Path
) -> None:
    go_on = threading.Event()
    slow: list[Part] = [head(), chunk("First"), go_on, chunk(" answer"), chunk(finish="stop")]
    with ScriptedGateway(slow, whole("Second")) as gateway:
        async with chatting(sidecar, state_dir, gateway) as terminal:
            terminal.types("One\r")
            await terminal.shows("First")
            terminal.types("Two\r")
            go_on.set()
            await terminal.shows("First answer")
            await terminal.shows("Second")
    assert [one["content"] for one in gateway.asked[1]["messages"]] == ["One", "First answer", "Two"]


@pytest.mark.parametrize("typed", ["", "Tell\r"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_that_ends_the_chat_leaves_the_terminal_as_it_was(
    sidecar: FakeSidecar, state_dir: Path, typed: str, number: signal.Signals
) -> None:
    with ScriptedGateway([head(), chunk("A long story"), threading.Event()]) as gateway:
        async with chatting(sidecar, state_dir, gateway) as terminal:
            terminal.types(typed)
            await terminal.shows("A long story" if typed else PROMPT)
            assert not terminal.echoes
            terminal.hears(number)
            assert await terminal.ends() == 128 + number
            assert terminal.echoes
