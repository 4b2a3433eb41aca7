import json
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from mesh.control import control_server
from mesh.control.control_client import ask
from mesh.control.control_errors import AlreadyRunning, NotJoined, OperationRefused
from mesh.control.control_server import Emit, serve_control
from mesh.wire.errors import MeshError


async def echo(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit({"text": "one"})
    await emit({"text": "two"})
    return {"args": args}


def mode(path: str) -> int | None:
    """The permissions of what is at `path`; None when nothing is."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


async def exchange(path: str, sent: bytes) -> list[dict[str, Any]]:
    """What the server answers to these very bytes."""
    stream = await trio.open_unix_socket(path)
    async with stream:
        await stream.send_all(sent)
        received = b""
        while chunk := await stream.receive_some(65536):
            received += chunk
    return [json.loads(line) for line in received.splitlines() if line]


async def test_a_request_is_answered_by_events_and_a_result(socket_path: str, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, socket_path, {"echo": echo})
    events: list[dict[str, Any]] = []
    result = await trio.to_thread.run_sync(ask, socket_path, "echo", {"n": 3}, events.append)
    assert result == {"args": {"n": 3}}
    assert events == [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MeshError("no", "do"), "failed", "no"),
        (NotJoined("nowhere", "do"), "not_joined", "nowhere"),
        (ExceptionGroup("", [MeshError("inner", "do")]), "failed", "inner"),
    ],
    ids=["plain", "with a code", "out of a nursery"],
)
async def test_an_error_is_answered_with_code_message_and_hint(
    socket_path: str, nursery: trio.Nursery, error: Exception, code: str, message: str
) -> None:
    async def refuse(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        raise error

    await nursery.start(serve_control, socket_path, {"refuse": refuse})
    with pytest.raises(OperationRefused) as caught:
        await trio.to_thread.run_sync(ask, socket_path, "refuse")
    assert (caught.value.code, caught.value.message, caught.value.hint) == (code, message, "do")


async def test_a_surprise_is_logged_and_ends_the_request_alone(
    socket_path: str, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    async def stumble(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        raise ZeroDivisionError("oops")

    await nursery.start(serve_control, socket_path, {"stumble": stumble, "echo": echo})
    with pytest.raises(OperationRefused, match="stumble failed: ZeroDivisionError"):
        await trio.to_thread.run_sync(ask, socket_path, "stumble")
    assert "Traceback" in caplog.text
    assert await trio.to_thread.run_sync(ask, socket_path, "echo") == {"args": {}}


@pytest.mark.parametrize(
    "request_line",
    [b"\n", b"nonsense\n", b"[]\n", b"{}\n", b'{"op": 3}\n', b'{"op": "echo", "args": []}\n', b"\xff\n"],
)
async def test_nonsense_is_answered_with_an_error(
    socket_path: str, nursery: trio.Nursery, request_line: bytes
) -> None:
    await nursery.start(serve_control, socket_path, {"echo": echo})
    [answer] = await exchange(socket_path, request_line)
    assert answer["error"]["code"] == "failed"


async def test_a_request_beyond_bounds_is_refused(socket_path: str, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, socket_path, {"echo": echo})
    [answer] = await exchange(socket_path, b"x" * (control_server.LONGEST_REQUEST + 1))
    assert "more than" in answer["error"]["message"]


async def test_an_unknown_operation_points_at_different_versions(
    socket_path: str, nursery: trio.Nursery
) -> None:
    await nursery.start(serve_control, socket_path, {})
    with pytest.raises(OperationRefused, match="does not know how to 'fly'"):
        await trio.to_thread.run_sync(ask, socket_path, "fly")


async def test_a_hang_up_cancels_the_handler(socket_path: str, nursery: trio.Nursery) -> None:
    started, cancelled = trio.Event(), trio.Event()

    async def wait(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        started.set()
        try:
            await trio.sleep(3600)
        except trio.Cancelled:
            cancelled.set()
            raise
        return {}

    await nursery.start(serve_control, socket_path, {"wait": wait})
    stream = await trio.open_unix_socket(socket_path)
    await stream.send_all(b'{"op": "wait"}\n')
    await started.wait()
    await stream.aclose()
    with trio.fail_after(5):
        await cancelled.wait()


async def test_an_operation_that_must_not_be_cut_short_goes_on_after_a_hang_up(
    socket_path: str, nursery: trio.Nursery
) -> None:
    started, hung_up, done = trio.Event(), trio.Event(), trio.Event()

    async def leave(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        started.set()
        await hung_up.wait()
        for _ in range(3):
            await emit({"text": "nobody hears this"})
        done.set()
        return {}

    await nursery.start(serve_control, socket_path, {"leave": leave}, {"leave"})
    stream = await trio.open_unix_socket(socket_path)
    await stream.send_all(b'{"op": "leave"}\n')
    await started.wait()
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    hung_up.set()
    with trio.fail_after(5):
        await done.wait()


async def test_a_handler_that_ends_the_sidecar_is_still_heard(socket_path: str) -> None:
    end = trio.Event()

    async def shutdown(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        end.set()
        return {"pid": 1}

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, socket_path, {"shutdown": shutdown})

        async def root() -> None:
            await end.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(root)
        with trio.CancelScope(shield=True):
            assert await trio.to_thread.run_sync(ask, socket_path, "shutdown") == {"pid": 1}


async def test_a_working_handler_shows_signs_of_life(
    socket_path: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_server, "SIGN_OF_LIFE", 0.01)
    seen = trio.Event()

    async def wait(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        await seen.wait()
        return {}

    await nursery.start(serve_control, socket_path, {"wait": wait})
    stream = await trio.open_unix_socket(socket_path)
    async with stream:
        await stream.send_all(b'{"op": "wait"}\n')
        assert await stream.receive_some(1) == b"\n"
        seen.set()


async def test_a_client_that_sends_nothing_is_dropped(
    socket_path: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_server, "REQUEST_LIMIT", 0.01)
    await nursery.start(serve_control, socket_path, {})
    with trio.fail_after(5):
        assert await exchange(socket_path, b'{"op": "never en') == []


async def test_another_user_is_refused(
    socket_path: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nursery.start(serve_control, socket_path, {"echo": echo})
    monkeypatch.setattr(control_server, "user_of", lambda connection: os.geteuid() + 12345)
    stream = await trio.open_unix_socket(socket_path)
    async with stream:
        assert await stream.receive_some(1) == b""


async def test_too_many_connections_are_refused_and_earlier_ones_still_served(
    socket_path: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_server, "MOST_CONNECTIONS", 1)
    await nursery.start(serve_control, socket_path, {"echo": echo})
    first = await trio.open_unix_socket(socket_path)
    async with first:
        await trio.testing.wait_all_tasks_blocked()
        second = await trio.open_unix_socket(socket_path)
        async with second:
            assert await second.receive_some(1) == b""
        await first.send_all(b'{"op": "echo"}\n')
        assert await first.receive_some(1) == b"{"


async def test_only_this_user_can_reach_the_socket_and_it_is_gone_afterwards(socket_path: str) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, socket_path, {})
        assert mode(socket_path) == 0o600
        assert mode(os.path.dirname(socket_path)) == 0o700
        nursery.cancel_scope.cancel()
    assert mode(socket_path) is None


@pytest.mark.parametrize("squat", ["a link to a folder", "a link to nowhere", "a file"])
async def test_a_folder_that_somebody_else_put_there_is_not_used(socket_path: str, squat: str) -> None:
    folder = Path(socket_path).parent
    match squat:
        case "a link to a folder":
            folder.symlink_to(folder.parent)
        case "a link to nowhere":
            folder.symlink_to(folder.parent / "nowhere")
        case _:
            folder.touch()
    with pytest.raises(MeshError, match="belongs to another user") as caught:
        await serve_control(socket_path, {})
    assert "--state-dir whose path is shorter" in caught.value.hint
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


async def test_a_folder_of_ours_that_others_may_write_in_is_closed_to_them(
    socket_path: str, nursery: trio.Nursery
) -> None:
    folder = Path(socket_path).parent
    folder.mkdir()
    folder.chmod(0o777)
    await nursery.start(serve_control, socket_path, {})
    assert mode(str(folder)) == 0o700


async def test_a_second_sidecar_is_refused_and_the_first_goes_on(
    socket_path: str, nursery: trio.Nursery
) -> None:
    await nursery.start(serve_control, socket_path, {"echo": echo})
    with pytest.raises(AlreadyRunning):
        await serve_control(socket_path, {})
    assert await trio.to_thread.run_sync(ask, socket_path, "echo") == {"args": {}}


async def test_a_socket_that_answers_is_left_alone_even_without_its_lock(
    socket_path: str, nursery: trio.Nursery
) -> None:
    await nursery.start(serve_control, socket_path, {"echo": echo})
    Path(socket_path).with_suffix(".lock").unlink()
    with pytest.raises(AlreadyRunning):
        await serve_control(socket_path, {})
    assert await trio.to_thread.run_sync(ask, socket_path, "echo") == {"args": {}}


async def test_the_socket_of_a_dead_sidecar_is_replaced(socket_path: str, nursery: trio.Nursery) -> None:
    os.makedirs(os.path.dirname(socket_path))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(socket_path)
    await nursery.start(serve_control, socket_path, {"echo": echo})
    assert await trio.to_thread.run_sync(ask, socket_path, "echo") == {"args": {}}
