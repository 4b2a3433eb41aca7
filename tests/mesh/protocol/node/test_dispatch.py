import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

import mesh.protocol
from mesh.protocol.base import internal_events
from mesh.protocol.base.internal_events import InternalEvent, ProcessPaused
from mesh.protocol.node.dispatch import Dispatch
from mesh.wire.facts import Fact
from mesh.wire.messages import Message
from tests.mesh.protocol.stage import Stage

ROOT = Path(mesh.protocol.__path__[0])


def tables() -> Dispatch:
    return Stage(start=False).node._dispatch


def calls(*methods: str) -> Iterator[tuple[ModuleType, ast.expr]]:
    """The first argument of every call of these methods in the protocol, with the module that makes it."""
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(["mesh.protocol", *path.relative_to(ROOT).with_suffix("").parts])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called.endswith(tuple(f"context.{method}" for method in methods)):
                assert isinstance(node, ast.Call)
                yield import_module(name), node.args[0]


def test_every_type_of_message_has_a_receiver() -> None:
    assert tables().messages.keys() == set(get_args(Message))


def test_every_kind_of_fact_has_a_reaction() -> None:
    assert tables().facts.keys() == set(get_args(Fact))


def test_every_internal_event_has_a_reaction() -> None:
    events = tables().events
    defined = {
        each
        for each in vars(internal_events).values()
        if isinstance(each, type) and each.__module__ == internal_events.__name__
    }
    assert events.keys() == defined == set(get_args(InternalEvent))
    assert all(events.values())


def test_every_internal_event_is_emitted_by_some_part() -> None:
    emitted = {ast.unparse(event).partition("(")[0] for _, event in calls("emit")}
    assert emitted == {event.__name__ for event in get_args(InternalEvent)}


def test_every_kind_of_timer_that_is_set_has_a_reaction() -> None:
    kinds = {getattr(module, ast.unparse(kind)) for module, kind in calls("schedule", "schedule_by")}
    assert tables().timers.keys() == kinds


def test_all_reactions_are_over_in_their_order_before_the_emitter_goes_on() -> None:
    node, happened = Stage(start=False).node, list[str]()
    node._dispatch.events[ProcessPaused] = (
        lambda _: happened.append("first"),
        lambda _: happened.append("second"),
    )
    node._context.emit(ProcessPaused())
    happened.append("emitted")
    assert happened == ["first", "second", "emitted"]
