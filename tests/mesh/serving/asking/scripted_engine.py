"""A door before a llama-server that follows a script, and members that ask through it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from leader.door.askers.accounts import Account, Askers
from leader.door.askers.blame import EngineDeaths
from leader.door.askers.limits import Limits
from leader.door.orders import EngineFacts
from leader.door.slots.slot_table import SlotTable
from leader.door.slots.turns import Turns
from mesh.net.stream_kinds import StreamKind
from mesh.serving.answer_counter import Answers
from mesh.serving.asking.apart import Apart
from mesh.serving.asking.ask_reporter import AskReporter
from mesh.serving.asking.door import Caller, Door
from mesh.serving.asking.judging import Judging
from mesh.serving.asking.order_run import Crowd
from mesh.serving.asking.reader import READERS
from mesh.serving.asking.slot_turns import SlotTurns
from tests.mesh.gateway.doubles import END, SSE_HEAD, Call, Client, chunk

ANNA, BERT, OWNER = Caller("anna", False), Caller("bert", False), Caller("olga", True)

TIMINGS = {"cache_n": 2, "prompt_n": 5, "prompt_ms": 10.0, "predicted_n": 3}
USAGE = {"completion_tokens": 3, "prompt_tokens": 7, "total_tokens": 10}
CHAT_HEAD = {"id": "chatcmpl-1", "created": 5, "model": "tiny"}


class Asked:
    """One request that llama-server got."""

    def __init__(self, call: Call, path: str, body: dict[str, Any]) -> None:
        self.call = call
        self.path = path
        self.body = body

    async def answer(self, value: Any, status: int = 200) -> None:
        """Answer whole."""
        content = json.dumps(value).encode()
        head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        await self.call.send(head % (status, len(content)) + content)

    async def begin(self, *values: Any) -> None:
        """Begin a stream."""
        await self.call.send(SSE_HEAD)
        await self.go_on(*values)

    async def go_on(self, *values: Any) -> None:
        """Send more events, the last perhaps ``[DONE]``."""
        for value in values:
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            await self.call.send(chunk(f"data: {text}\n\n".encode()))

    async def end(self, *values: Any) -> None:
        """Send the last events and the proper end."""
        await self.go_on(*values)
        await self.call.send(END)


Script = Callable[[Asked], Awaitable[None]]


class ScriptedEngine:
    """A llama-server with so many slots, in each of which a conversation is known to nobody but the table."""

    def __init__(self, nursery: trio.Nursery, script: Script, slots: int = 1, most: int = 1024) -> None:
        self.facts = EngineFacts("tiny", 4096, slots)
        self.crowd = Crowd()
        self.answers = Answers(lambda: None)
        self.turns = SlotTurns(SlotTable(slots), self.connect, None, Turns(most))
        self.asked: list[Asked] = []
        self.computing = 0
        self._script = script
        self._nursery = nursery
        self._streams: set[trio.SocketStream] = set()
        self._scope = trio.CancelScope()
        self._takes_connections = True
        self.has_ended = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self._scope:
            await self.turns.run(task_status)

    async def connect(self) -> trio.SocketStream:
        if not self._takes_connections:
            raise ConnectionRefusedError
        ours, theirs = trio.socket.socketpair()
        self._nursery.start_soon(self._serve, trio.SocketStream(theirs))
        return trio.SocketStream(ours)

    async def ended(self) -> None:
        await self.has_ended.wait()

    async def end(self) -> None:
        """End so far as others notice it: it takes no connection, and those that it has break."""
        self._takes_connections = False
        for stream in set(self._streams):
            await trio.aclose_forcefully(stream)
        await settle()
        self._scope.cancel()

    def another(self) -> "ScriptedEngine":
        """The next one."""
        return ScriptedEngine(self._nursery, self._script, self.facts.slots)

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._streams.add(stream)
        self.computing += 1
        try:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                call = Call(stream)
                head, content = await call.request()
                asked = Asked(call, head.target.decode(), json.loads(content or b"{}"))
                self.asked.append(asked)
                await self._script(asked)
        finally:
            self.computing -= 1
            self._streams.discard(stream)
            await trio.aclose_forcefully(stream)


class Here(Apart):
    """Answers in this process, so that a test need not wait for another."""

    async def ask(self, member: str, name: str, *arguments: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return READERS[name](*arguments)


class OpenDoor:
    """A door that is open, and what is behind it."""

    def __init__(self, nursery: trio.Nursery, engine: ScriptedEngine, limits: Limits) -> None:
        self.engine = engine
        self.serves = True
        self.clients: list[Client] = []
        self._nursery = nursery
        self.askers = Askers(limits)
        self.deaths = EngineDeaths()
        self.reporter = AskReporter(self.askers, self.deaths, str)
        judging = Judging(Here())
        self.door = Door(self._served, self.askers, self.deaths, self.reporter, judging)

    def connect(self, caller: Caller = ANNA, kind: StreamKind = StreamKind.API) -> Client:
        self.clients.append(Client(self.door.connect(caller, kind)))  # type: ignore[arg-type]
        return self.clients[-1]

    async def ask(
        self, path: str, body: Any = None, caller: Caller = ANNA, kind: StreamKind = StreamKind.API
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask, and read the whole answer: status, headers, body."""
        with trio.fail_after(10):
            return await (await self._send(path, body, caller, kind)).answer()

    async def asking(
        self, path: str, body: Any = None, caller: Caller = ANNA, kind: StreamKind = StreamKind.API
    ) -> Client:
        """Ask, read nothing yet, and let all go on that can."""
        client = await self._send(path, body, caller, kind)
        await settle()
        return client

    async def _send(self, path: str, body: Any, caller: Caller, kind: StreamKind) -> Client:
        client = self.connect(caller, kind)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        await client.ask("GET" if body is None else "POST", path, content)
        return client

    async def hang_up(self, *clients: Client) -> None:
        """Close what clients have open, the last one first, and let all go on that can."""
        await settle()
        for client in reversed(clients or self.clients):
            await client.stream.aclose()
            await settle()

    async def die(self) -> None:
        """llama-server dies of what it was asked: connections break, it is known, and another one follows."""
        old = self.engine
        await old.end()
        await settle()
        self.reporter.engine_died("it died")
        old.has_ended.set()
        self.engine = old.another()
        await self._nursery.start(self.engine.run)
        await settle()

    def _served(self) -> ScriptedEngine | None:
        return self.engine if self.serves else None

    def account(self, caller: Caller = ANNA) -> Account:
        return self.askers.accounts()[caller.id]


@asynccontextmanager
async def open_door(
    script: Script, slots: int = 1, limits: Limits | None = None, most: int = 1024
) -> AsyncIterator[OpenDoor]:
    """A door before a llama-server; at the end all is idle again, or something was forgotten."""
    async with trio.open_nursery() as nursery:
        engine = ScriptedEngine(nursery, script, slots, most)
        await nursery.start(engine.run)
        opened = OpenDoor(nursery, engine, limits or Limits())
        nursery.start_soon(opened.door.run)
        await trio.testing.wait_all_tasks_blocked()
        yield opened
        await opened.hang_up()
        held = [(one.queued, one.in_flight) for one in opened.askers.accounts().values()]
        assert all(one == (0, 0) for one in held), held
        assert opened.engine.turns.busy == opened.engine.turns.waiting == opened.engine.answers.count == 0
        nursery.cancel_scope.cancel()


async def settle() -> None:
    """Let all go on that can."""
    await trio.testing.wait_all_tasks_blocked(0.005)


# --- what llama-server says


def chat(text: str, finish: str = "stop") -> dict[str, Any]:
    """A whole chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {
        **CHAT_HEAD,
        "object": "chat.completion",
        "choices": [choice],
        "usage": USAGE,
        "timings": TIMINGS,
    }


def chat_chunk(text: str | None, finish: str | None = None) -> dict[str, Any]:
    """An event of a chat."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**CHAT_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def chat_stream(text: str) -> list[Any]:
    """All events of a chat."""
    usage = {**CHAT_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
    return [chat_chunk(text), chat_chunk(None, "stop"), {**usage, "timings": TIMINGS}, "[DONE]"]


async def nobody(asked: Asked) -> None:
    """Llama-server must not be asked."""
    pytest.fail(f"llama-server was asked for {asked.path}")


async def hold(asked: Asked) -> None:
    """Compute until the client hangs up, and tell nothing but that it began."""
    await asked.begin()
    await asked.call.hung_up()


async def hold_silently(asked: Asked) -> None:
    """Compute until the client hangs up."""
    await asked.call.hung_up()


async def say_hello(asked: Asked) -> None:
    """Answer any chat or completion, as it was asked."""
    if asked.path == "/completion":
        answer = {"content": "hello", "stop": True, "timings": TIMINGS}
        if asked.body.get("stream"):
            await asked.begin()
            await asked.end({"content": "hello", "stop": False}, {**answer, "content": ""})
        else:
            await asked.answer(answer)
    elif asked.body.get("stream"):
        await asked.begin()
        await asked.end(*chat_stream("hello"))
    else:
        await asked.answer(chat("hello"))
