"""The lab itself: a test that passes in a lab that does not do what it says would prove nothing."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import trio

from tests.lab import namespaces
from tests.lab.host import CommandFailed, Host
from tests.lab.lab import Lab, is_in_open_lab, leftovers, remove_abandoned
from tests.lab.owners import is_abandoned, new_run

REASON = "needs network namespaces (root on Linux)"
needs_namespaces = pytest.mark.skipif(not namespaces.available(), reason=REASON)
HOLD = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]


@pytest.fixture(params=["namespaces", "loopback"])
def any_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    if request.param == "namespaces" and not namespaces.available():
        pytest.skip(REASON)
    with Lab(with_namespaces=request.param == "namespaces") as lab:
        yield lab


async def listen(host: Host) -> trio.SocketListener:
    listener = trio.socket.from_stdlib_socket(host.socket())
    await listener.bind((host.address, 0))
    listener.listen()
    return trio.SocketListener(listener)


async def test_hosts_reach_one_another_and_see_each_others_addresses(any_lab: Lab) -> None:
    anna, bert = any_lab.hosts(2)
    listener = await listen(bert)
    async with listener:
        client = await anna.connect(bert.address, listener.socket.getsockname()[1])
        server = await listener.accept()
        async with client, server:
            await client.send_all(b"hello")
            assert await server.receive_some(5) == b"hello"
            assert server.socket.getpeername()[0] == anna.address


@needs_namespaces
def test_each_host_has_its_own_loopback() -> None:
    with Lab() as lab:
        anna, bert = lab.hosts(2)
        with anna.socket() as first, bert.socket() as second:
            first.bind(("127.0.0.1", 50080))
            second.bind(("127.0.0.1", 50080))


@needs_namespaces
def test_a_host_has_its_own_name_and_interfaces_and_home() -> None:
    with Lab() as lab:
        (anna,) = lab.hosts(1)
        program = (
            "import os, socket;"
            "print(socket.gethostname(), *os.listdir('/sys/class/net'), os.path.expanduser('~'))"
        )
        name, *interfaces, home = anna.run([sys.executable, "-c", program]).stdout.split()
    assert name == "anna"
    assert {"lo", "eth0"} <= set(interfaces)
    assert Path(home).parent == anna.folder


@needs_namespaces
def test_multicast_reaches_the_other_hosts() -> None:
    with Lab() as lab:
        anna, bert = lab.hosts(2)
        with bert.socket(kind=socket.SOCK_DGRAM) as receiver, anna.socket(kind=socket.SOCK_DGRAM) as sender:
            receiver.settimeout(5)
            receiver.bind(("", 5353))
            group = socket.inet_aton("224.0.0.251")
            receiver.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + socket.inet_aton(bert.address)
            )
            sender.sendto(b"who is there", ("224.0.0.251", 5353))
            assert receiver.recvfrom(100)[0] == b"who is there"


@needs_namespaces
@pytest.mark.parametrize("silent", [False, True])
async def test_a_cut_host_is_unreachable_until_it_is_healed(silent: bool) -> None:
    with Lab() as lab:
        anna, bert = lab.hosts(2)
        listener = await listen(bert)
        async with listener:
            port = listener.socket.getsockname()[1]
            anna.cut(silent)
            with pytest.raises((OSError, trio.TooSlowError)):
                await anna.connect(bert.address, port, seconds=0.3)
            anna.heal()
            await (await anna.connect(bert.address, port, seconds=5)).aclose()


@needs_namespaces
async def test_the_stranded_reach_one_another_and_nobody_else_until_they_are_healed() -> None:
    with Lab() as lab:
        anna, bert, cara = lab.hosts(3)
        listener = await listen(bert)
        async with listener:
            port = listener.socket.getsockname()[1]
            for host in (anna, bert):
                host.strand()
            await (await anna.connect(bert.address, port, seconds=5)).aclose()
            with pytest.raises((OSError, trio.TooSlowError)):
                await cara.connect(bert.address, port, seconds=0.3)
            for host in (anna, bert):
                host.heal()
            await (await cara.connect(bert.address, port, seconds=5)).aclose()


@needs_namespaces
async def test_a_narrow_cable_carries_no_more_than_it_can() -> None:
    with Lab() as lab:
        anna, bert = lab.hosts(2)
        anna.narrow(4)
        listener = await listen(bert)
        async with listener, await anna.connect(bert.address, listener.socket.getsockname()[1]) as stream:
            taker = await listener.accept()
            started = trio.current_time()
            async with trio.open_nursery() as nursery, taker:
                nursery.start_soon(stream.send_all, bytes(500_000))
                left = 500_000
                while left:
                    left -= len(await taker.receive_some())
            assert trio.current_time() - started > 0.7, "half a megabyte at half a megabyte a second"


@needs_namespaces
def test_a_full_disk_takes_nothing_until_it_is_freed_and_is_gone_with_the_lab() -> None:
    with Lab() as lab:
        anna, bert = lab.hosts(2)
        anna.own_disk()
        write = ["sh", "-c", 'echo more >>"$XDG_STATE_HOME/old" && echo new >"$XDG_STATE_HOME/new$0"']
        anna.run([*write, "1"])
        for full in ("2", "3"):
            anna.fill_disk()
            failed = anna.run([*write, full], check=False)
            assert "No space left" in failed.stderr
            anna.run(["sh", "-c", 'test -s "$XDG_STATE_HOME/old"'])
            bert.run([*write, full])
            anna.free_disk()
            anna.run([*write, full])
    assert leftovers(lab.run) == []


async def test_http_from_a_host_streams(any_lab: Lab) -> None:
    anna, bert = any_lab.hosts(2)
    listener = await listen(bert)
    port = listener.socket.getsockname()[1]
    more = trio.Event()

    async def serve_one() -> None:
        stream = await listener.accept()
        async with stream:
            await stream.receive_some(10000)
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            await more.wait()
            await stream.send_all(b"rest")

    async with listener, trio.open_nursery() as nursery, anna.http(f"http://{bert.address}:{port}") as client:
        nursery.start_soon(serve_one)
        async with client.stream("GET", "/") as answer:
            pieces = answer.aiter_bytes()
            assert await anext(pieces) == b"half"
            more.set()
            assert [piece async for piece in pieces] == [b"rest"]


def test_a_command_that_fails_says_where_and_what(any_lab: Lab) -> None:
    (anna,) = any_lab.hosts(1)
    with pytest.raises(CommandFailed, match=r"anna: sh .* ended with 7\n.*too bad"):
        anna.run(["sh", "-c", "echo too bad; exit 7"])


def test_processes_of_one_host_are_told_from_those_of_another(any_lab: Lab) -> None:
    anna, bert = any_lab.hosts(2)
    # Once it speaks, the steps that led into the host are over.
    started = anna.popen(["sh", "-c", "echo up && exec sleep 100"], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    assert [process.pid for process in anna.processes()] == [started.pid]
    assert bert.processes() == []


def test_the_sidecar_is_the_process_that_listens_on_the_control_socket(any_lab: Lab) -> None:
    (anna,) = any_lab.hosts(1)
    _listen_on(anna, "tailscaled.sock")
    assert anna.sidecar() is None
    sidecar = _listen_on(anna, "mesh.sock")
    assert anna.kill_sidecar().pid == sidecar.pid
    assert sidecar.wait(timeout=5) == -signal.SIGKILL


def _listen_on(host: Host, name: str) -> subprocess.Popen[bytes]:
    program = (
        "import os, socket, signal; s = socket.socket(socket.AF_UNIX);"
        f"s.bind(os.environ['XDG_RUNTIME_DIR'] + '/{name}'); s.listen();"
        "print('up', flush=True); signal.pause()"
    )
    listening = host.popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert listening.stdout is not None
    assert listening.stdout.readline() == b"up\n"
    return listening


def test_closing_ends_also_processes_that_left_their_session(any_lab: Lab) -> None:
    (anna,) = any_lab.hosts(1)
    program = (
        "import os, signal\nif os.fork() == 0:\n os.setsid(); print(os.getpid(), flush=True); signal.pause()"
    )
    parent = anna.popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    assert psutil.pid_exists(orphan)
    any_lab.close()
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
    assert leftovers(any_lab.run) == []


@pytest.mark.parametrize("mode", ["True", "False"])
def test_what_a_killed_run_left_is_cleared_by_the_next(mode: str) -> None:
    if mode == "True" and not namespaces.available():
        pytest.skip(REASON)
    program = (
        "import signal; from tests.lab.lab import Lab;"
        f"lab = Lab({mode}).__enter__(); (host,) = lab.hosts(1); host.own_disk();"
        f"host.popen({HOLD!r}); print(lab.run, flush=True); signal.pause()"
    )
    run = [sys.executable, "-c", program]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        remove_abandoned()
        assert len(leftovers(name)) >= 2, "a run whose owner lives must be left alone"
        owner.kill()
    assert is_abandoned(name)
    remove_abandoned()
    assert leftovers(name) == []


def test_a_run_is_abandoned_when_another_process_has_its_number_and_not_before() -> None:
    prefix, lab, pid, started, nonce = new_run().split("-")
    assert not is_abandoned("-".join([prefix, lab, pid, started, nonce]))
    assert is_abandoned("-".join([prefix, lab, pid, str(int(started) + 1), nonce]))
    assert int(pid) == os.getpid()


def test_a_process_is_told_to_be_of_a_lab_until_that_is_closed(any_lab: Lab) -> None:
    (anna,) = any_lab.hosts(1)
    started = anna.popen(HOLD, stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    process = psutil.Process(started.pid)
    assert is_in_open_lab(process)
    assert not is_in_open_lab(psutil.Process())
    any_lab.close()
    assert not is_in_open_lab(process)


def test_a_program_of_the_engine_is_found_by_a_part_of_its_name(any_lab: Lab, tmp_path: Path) -> None:
    (anna,) = any_lab.hosts(1)
    said = tmp_path / "said"
    said.write_bytes(b"up\n")
    started = anna.popen(["tail", "-f", str(said)], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"  # it is this program that speaks, whatever began it
    found = anna.engine("tai")
    assert found is not None
    assert found.pid == started.pid
    assert anna.engine("llama-server") is None


def test_two_labs_at_once_do_not_meet(any_lab: Lab) -> None:
    (anna,) = any_lab.hosts(1)
    with Lab(with_namespaces=any_lab.with_namespaces) as other:
        (namesake,) = other.hosts(1)
        # Once it speaks, the steps that led into the host are over.
        started = namesake.popen(HOLD, stdout=subprocess.PIPE)
        assert started.stdout is not None
        assert started.stdout.readline() == b"up\n"
        assert anna.processes() == []
        assert [process.pid for process in namesake.processes()] == [started.pid]
