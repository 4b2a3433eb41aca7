"""The process as a whole: its lines, its end, and a pull through every fault at once."""

import hashlib
import json
import signal
import subprocess
import sys
import threading

import pytest

from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import SECONDS, HubAsker, model

REPO = "ann/tiny-GGUF"
PARTS = {f"tiny-0000{part}-of-00002.gguf": model(150_000, part) for part in (1, 2)}


def test_it_pulls_through_every_fault_of_the_test_hub(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, PARTS)
    hub.faults.error_times, hub.faults.error = 2, 500
    files = ask.describe(REPO).result["files"]
    hub.faults.busy_times, hub.faults.retry_after = 3, "2"
    hub.faults.error_times, hub.faults.error = 3, 503
    hub.faults.cut_after, hub.faults.cut_times = 40_000, 5
    asked = ask.fetch(REPO, *files)
    assert [one.read_bytes() for one in asked.files] == list(PARTS.values())
    assert asked.texts.count("the hub asks for patience: again in 2 s") == 3
    faults = hub.faults
    assert (faults.busy_times, faults.error_times, faults.cut_times) == (0, 0, 0)
    done = [one["done"] for one in asked.progress]
    assert done == sorted(done)
    assert {one["total"] for one in asked.progress} == {300_000}


@pytest.mark.parametrize("how", ["closed", "SIGTERM", "SIGINT"])
def test_it_ends_quietly_when_nobody_asks_any_more(hub: ScriptedHub, ask: HubAsker, how: str) -> None:
    hub.add(REPO, PARTS)
    hub.faults.hold = threading.Event()
    with ask.start(ask.fetching(REPO)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        if how == "closed":
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[how])
        assert process.wait(SECONDS) == 130
        assert all("progress" in json.loads(line) for line in process.stdout)
        assert process.stderr.read() == ""


@pytest.mark.parametrize("request_line", [b"", b"{]\n", b"[]\n", b'{"do": "dance"}\n', b'{"do": "fetch"}\n'])
def test_what_is_no_request_is_answered_with_an_error(request_line: bytes) -> None:
    # Standard input must stay open until the answer is there.
    with subprocess.Popen(
        [sys.executable, "-m", "mesh.hub.downloader.hub_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(request_line)
        process.stdin.close() if not request_line else process.stdin.flush()
        said = process.stdout.read()
        assert process.stderr.read() == b""
    if request_line:
        assert json.loads(said)["error"]["code"] == "failed"
    else:
        assert b"result" not in said


def test_altered_bytes_of_the_right_length_are_for_its_caller_to_find(
    hub: ScriptedHub, ask: HubAsker
) -> None:
    hub.add(REPO, PARTS)
    hub.faults.altered = True
    found = [hashlib.sha256(one.read_bytes()).hexdigest() for one in ask.fetch(REPO).files]
    told = [one["sha256"] for one in ask.describe(REPO).result["files"]]
    assert all(one != other for one, other in zip(found, told, strict=True))
