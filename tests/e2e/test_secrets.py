"""What must be known to two is found nowhere else: no log, no command line, no environment, no status."""

import base64
import json
import stat
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.pools import JOIN, alive, client, found, status_when
from tests.e2e.test_approval import CODE, joining, needs_multicast
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

API_KEY = "open-sesame-0123456789"
SECRET_FILES = ("identity.key", "invites.json", "api.key")


def secrets_of(hosts: list[Host]) -> set[bytes]:
    """All that is secret on these hosts, as whoever is careless might write it down."""
    raw = [API_KEY.encode()]
    for host in hosts:
        raw += [path.read_bytes() for path in host.folder.rglob("identity.key")]
        for path in host.folder.rglob("invites.json"):
            raw += [bytes.fromhex(entry["secret"]) for entry in json.loads(path.read_text()).values()]
    assert len(raw) > len(hosts)
    written = set(raw)
    for secret in raw:
        written |= {secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")}
        written |= {base64.urlsafe_b64encode(secret).rstrip(b"="), repr(secret)[2:-1].encode()}
    return written


def told_by(host: Host) -> dict[str, bytes]:
    """Every word of the host that others may come to see, by where it stands."""
    told = {
        str(path): path.read_bytes()
        for path in host.folder.rglob("*")
        if path.is_file() and path.name not in SECRET_FILES
    }
    for process in host.processes():
        told[f"command line of {process.pid}"] = " ".join(process.cmdline()).encode()
        with suppress(psutil.AccessDenied):  # then others see it even less
            told[f"environment of {process.pid}"] = repr(process.environ()).encode()
    for command in (
        ["status", "--json"],
        ["status"],
        ["members"],
        ["logs"],
        ["doctor", "--json"],
        ["models"],
    ):
        result = host.mesh(*command, check=False)
        told[f"mesh {' '.join(command)}"] = (result.stdout + result.stderr).encode()
    return told


async def told_by_gateway(host: Host) -> dict[str, bytes]:
    told = {}
    async with client(host) as http:
        for path in ("/", "/metrics", "/status", "/readyz", "/healthz", "/v1/models"):
            response = await http.get(path, headers={"Authorization": f"Bearer {API_KEY}"})
            told[path] = response.content
    return told


async def test_no_secret_is_ever_written_down_where_others_look(lab: Lab) -> None:
    needs_multicast(lab)
    anna, bert, cara = hosts = lab.hosts(3)
    key = anna.folder / "api.key"
    key.write_text(API_KEY)
    key.chmod(0o600)
    token = found(anna, "--listen", anna.address, "--api-key", str(key), "--log-format", "json")
    bert.mesh("join", "--name", "bert", *JOIN, MESH_TOKEN=token)
    async with joining(cara) as terminal:
        code = (await terminal.shows(CODE))[1]
        await anna.amesh("approve", code)
        assert await terminal.ends() == 0
    status = await status_when(anna, lambda status: len(alive(status)) == 3)
    # Some refusals, for those are what is written about.
    assert bert.mesh("join", token[:-2] + "xx", *JOIN, check=False).returncode == 1
    assert anna.mesh("approve", code, check=False).returncode == 1
    assert status["self"]["name"] == "anna"
    secrets = secrets_of(hosts)
    words = "-".join(code.split("-")[1:]).encode()
    secrets |= {words, words.replace(b"-", b" "), token.removeprefix("mesh1:").encode()}
    for host in hosts:
        for where, text in {**told_by(host), **(await told_by_gateway(host))}.items():
            assert not [secret for secret in secrets if secret in text], f"{host.name}: {where}"


def test_what_is_kept_is_the_users_alone(lab: Lab) -> None:
    anna = lab.host()
    found(anna)
    state = next(anna.folder.rglob("identity.key")).parent
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    open_to_others = [path for path in state.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert [path.name for path in open_to_others if path.name in SECRET_FILES] == []
    (socket,) = (path for path in anna.folder.rglob("mesh.sock"))
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(socket).parent.stat().st_mode) == 0o700


async def test_from_the_network_the_api_answers_who_bears_the_key_alone(lab: Lab) -> None:
    if not lab.with_namespaces:
        pytest.skip("on 127.x.y.z every address is this machine's own")
    anna, eve = lab.hosts(2)
    key = anna.folder / "api.key"
    key.write_text(API_KEY)
    key.chmod(0o600)
    found(anna, "--listen", anna.address, "--api-key", str(key))
    async with eve.http(f"http://{anna.address}:50080") as http:
        for path in ("/v1/models", "/status", "/metrics", "/events", "/completion"):
            assert (await http.get(path)).status_code == 401
            wrong = {"Authorization": "Bearer open-sesame-0123456788"}
            assert (await http.get(path, headers=wrong)).status_code == 401
        right = {"Authorization": f"Bearer {API_KEY}"}
        assert (await http.get("/status", headers=right)).json()["self"]["name"] == "anna"
