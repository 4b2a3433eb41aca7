import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from mesh.control import control_client
from mesh.control.control_client import ask, call, process_at, send
from mesh.control.control_errors import ControlError, NotJoined, NotRunning, OtherStateDir
from mesh.control.operations import LEAVE, STATUS
from mesh.control.paths import process_path


@contextmanager
def answering(path: str, answer: bytes, hold: bool = False) -> Iterator[None]:
    """A server at `path` that sends the same to each client, and with `hold` then stays silent."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                while hold and connection.recv(65536):
                    pass

        thread = Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def test_somebody_elses_socket_is_told_nothing(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.makedirs(os.path.dirname(socket_path), exist_ok=True)
    monkeypatch.setattr(control_client, "user_of", lambda connection: os.geteuid() + 4711)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(socket_path)
        listening.listen()
        with pytest.raises(ControlError, match=f"somebody else, user {os.geteuid() + 4711}"):
            ask(socket_path, "join", {"token": "mesh1:secret"})
        connection, _ = listening.accept()
        with connection:
            assert connection.recv(100) == b""


def test_nobody_there_means_not_joined(socket_path: str) -> None:
    with pytest.raises(NotRunning) as caught:
        ask(socket_path, "status")
    assert isinstance(caught.value, NotJoined)
    assert "mesh join" in caught.value.hint


def test_a_socket_left_behind_means_not_joined(socket_path: str) -> None:
    os.makedirs(os.path.dirname(socket_path))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(socket_path)
    with pytest.raises(NotRunning):
        ask(socket_path, "status")


def test_events_come_before_the_result_and_empty_lines_mean_nothing(socket_path: str) -> None:
    answer = b'\n{"event": {"text": "a"}}\n\n\n{"event": {"text": "b"}}\n{"result": {"n": 1}}\n'
    with answering(socket_path, answer):
        conversation = call(socket_path, "x")
        assert next(conversation) == {"text": "a"}
        assert next(conversation) == {"text": "b"}
        with pytest.raises(StopIteration) as end:
            next(conversation)
    assert end.value.value == {"n": 1}


def test_a_line_may_come_in_many_pieces(socket_path: str) -> None:
    text = "x" * 300_000
    with answering(socket_path, f'{{"result": {{"text": "{text}"}}}}\n'.encode()):
        assert ask(socket_path, "x") == {"text": text}


@pytest.mark.parametrize("answer", [b"nonsense\n", b"[]\n", b"{}\n", b'{"error": {}}\n', b"3\n"])
def test_an_answer_that_makes_no_sense_is_an_error(socket_path: str, answer: bytes) -> None:
    with answering(socket_path, answer), pytest.raises(ControlError, match="makes no sense"):
        ask(socket_path, "x")


@pytest.mark.parametrize("answer", [b"", b'{"event": {"text": "a"}}\n', b'{"result": {'])
def test_a_sidecar_that_ends_before_it_answered_is_an_error(socket_path: str, answer: bytes) -> None:
    with answering(socket_path, answer), pytest.raises(ControlError, match="ended before"):
        ask(socket_path, "x")


def test_a_sidecar_that_is_stuck_is_an_error(socket_path: str) -> None:
    with answering(socket_path, b"\n", hold=True), pytest.raises(ControlError, match="has not answered"):
        ask(socket_path, "x", timeout=0.05)


def test_a_line_without_end_is_an_error(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.control.control_client.LONGEST_LINE", 1000)
    with answering(socket_path, b"x" * 5000), pytest.raises(ControlError, match="makes no sense"):
        ask(socket_path, "x")


@pytest.fixture
def state() -> Iterator[str]:
    """A state directory whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        yield os.path.realpath(folder)


class Sidecar:
    """One that says that it has a certain state directory, and notes what else it is asked."""

    def __init__(self, state_dir: object) -> None:
        self.asked: list[str] = []
        self._info = {"state_dir": state_dir, "pid": os.getpid()}

    @contextmanager
    def at(self, path: str) -> Iterator[None]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            thread = Thread(target=self._serve, args=[listening])
            thread.start()
            try:
                yield
            finally:
                listening.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):  # raised where it is shut down
            while True:
                connection, _ = listening.accept()
                with connection:
                    if line := connection.recv(65536):
                        op = json.loads(line)["op"]
                        if op != "info":
                            self.asked.append(op)
                        connection.sendall(json.dumps({"result": self._info}).encode() + b"\n")


def test_a_sidecar_is_asked_once_it_said_that_it_has_this_state_directory(state: str) -> None:
    sidecar = Sidecar(f"{state}/../{os.path.basename(state)}")
    with sidecar.at(f"{state}/mesh.sock"):
        assert send(state, STATUS.request({}))
    assert sidecar.asked == ["status"]


def test_a_sidecar_of_another_state_directory_is_named_and_left_alone(state: str) -> None:
    sidecar = Sidecar("/home/other/state")
    with sidecar.at(f"{state}/mesh.sock"):
        for attempt in (lambda: send(state, LEAVE.request({"purge": True})), lambda: process_at(state)):
            with pytest.raises(OtherStateDir, match=f"/home/other/state, and this command has {state}"):
                attempt()
    assert sidecar.asked == []


def test_one_that_does_not_say_which_directory_it_has_is_asked_nothing(state: str) -> None:
    sidecar = Sidecar(None)
    with sidecar.at(f"{state}/mesh.sock"):
        with pytest.raises(ControlError, match="makes no sense"):
            send(state, STATUS.request({}))
        assert process_at(state) == os.getpid(), "it can be ended, for it listens in this directory"
    assert sidecar.asked == []


def test_a_sidecar_of_an_older_version_is_found_by_its_own_directory_alone(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkdir(f"{state}/run", 0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{state}/run")
    own, other = f"{state}/own/frankenstein-mesh", f"{state}/other/frankenstein-mesh"
    old = Sidecar(own)
    with old.at(f"{state}/run/frankenstein-mesh/mesh.sock"):
        monkeypatch.setenv("XDG_STATE_HOME", f"{state}/own")
        assert send(own, STATUS.request({}))
        assert process_at(own) == os.getpid()
        monkeypatch.setenv("XDG_STATE_HOME", f"{state}/other")
        with pytest.raises(OtherStateDir):
            send(other, LEAVE.request({"purge": True}))
    assert old.asked == ["status"]


@contextmanager
def silent(folder: str) -> Iterator[None]:
    """A sidecar that says nothing."""
    os.makedirs(folder, 0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/mesh.sock")
        listening.listen()
        yield


def test_the_process_of_a_sidecar_is_known_without_a_word_from_it(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_client, "PATIENCE", 0.05)
    with pytest.raises(NotRunning):
        process_at(state)
    with silent(state):
        assert process_at(state) == os.getpid()


@pytest.mark.parametrize("noted", [None, "none", str(os.getppid())])
def test_an_older_sidecar_that_says_nothing_is_ended_by_its_own_home_alone(
    state: str, monkeypatch: pytest.MonkeyPatch, noted: str | None
) -> None:
    monkeypatch.setattr(control_client, "PATIENCE", 0.05)
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{state}/run")
    monkeypatch.setenv("XDG_STATE_HOME", state)
    os.mkdir(f"{state}/run", 0o700)
    own = f"{state}/frankenstein-mesh"
    os.mkdir(own)
    with silent(f"{state}/run/frankenstein-mesh"):
        if noted is not None:
            Path(process_path(own)).write_text(noted)
        with pytest.raises(ControlError, match="has not answered"):
            process_at(own)
        Path(process_path(own)).write_text(str(os.getpid()))
        assert process_at(own) == os.getpid()


def test_a_sidecar_whose_process_is_out_of_sight_is_an_error(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_client, "PATIENCE", 0.05)
    monkeypatch.setattr(control_client, "process_of", lambda connection: 0)
    with silent(state), pytest.raises(ControlError, match="another container"):
        process_at(state)
