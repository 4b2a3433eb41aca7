"""A program's own network, shared memory and view of files; each tried by a process that then ends."""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lab.local_user import CHECKOUT, command_as, nobody
from tests.mesh.engine.sandbox.confined import HAS_CELLS, IS_ROOT

pytestmark = pytest.mark.skipif(not HAS_CELLS, reason="this machine gives no cells")
ROOT = pytest.mark.skipif(not IS_ROOT, reason="root alone gives a program another user")
ANOTHER, OWN = 4242, 60578

PRELUDE = """
import json, os, sys
from mesh.engine.sandbox import namespaces
given = sys.argv[1:]
os.umask(0o077)  # a sidecar's
def came(of):
    try:
        return of()
    except OSError as error:
        return type(error).__name__
def tell(*results):
    print(json.dumps(results))
"""


def told(script: str, *arguments: object, runner: Sequence[str] = ()) -> Any:
    """What the script tells in a process of its own; ``runner`` is the command of another user."""
    command = [sys.executable, "-c", PRELUDE + script, *map(str, arguments)]
    if runner:
        command = command_as(nobody(), command)
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


NETWORK = """
import socket
before = os.stat("/proc/self/ns/net").st_ino, os.stat("/proc/self/ns/ipc").st_ino
user = os.getuid()
namespaces.enter()
after = os.stat("/proc/self/ns/net").st_ino, os.stat("/proc/self/ns/ipc").st_ino
with socket.create_server(("127.0.0.1", 8080)) as server, socket.create_connection(server.getsockname()):
    routes = open("/proc/self/net/route").read().splitlines()[1:]
    tell([old != new for old, new in zip(before, after)], os.getuid() == user, routes)
"""


@pytest.mark.parametrize("runner", [(), pytest.param(("nobody",), marks=ROOT)], ids=["itself", "nobody"])
def test_a_cell_has_loopback_alone_and_the_same_user(runner: tuple[str, ...]) -> None:
    assert told(NETWORK, runner=runner) == [[True, True], True, []]


SHARED = """
namespaces.enter()
namespaces.replace_shared_memory(1 << 20)
def fill():
    with open(given[0], "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
tell(os.listdir("/dev/shm"), came(fill), os.stat(given[0]).st_size)
"""


@pytest.mark.parametrize("runner", [(), pytest.param(("nobody",), marks=ROOT)], ids=["itself", "nobody"])
def test_shared_memory_is_its_own_bounded_and_gone_with_it(runner: tuple[str, ...]) -> None:
    name = Path("/dev/shm", f"mesh-test-{uuid.uuid4().hex}")
    assert told(SHARED, name, runner=runner) == [[], "OSError", 1 << 20]
    assert not name.exists()


SHOWN = """
user, folder, reads, writes, hidden = int(given[0]), *given[1:5]
def overwrite(path, text):
    with open(path, "w") as file:
        file.write(text)
    return open(path).read()
if os.getuid() == 0:
    os.setgroups([4242])  # as somebody who joins by sudo has some
namespaces.enter()
shown = namespaces.show(user, given[5:] or [reads], [writes])
namespaces.become(user, ())
tell(
    shown, os.getresuid() + os.getresgid(), os.getgroups(),
    came(lambda: open(reads).read()), came(lambda: overwrite(reads, "new")),
    came(lambda: overwrite(writes + "/slot", "new")), came(lambda: open(hidden).read()),
    came(lambda: sorted(os.listdir(folder))),
)
"""


def files_of(folder: Path, owner: int) -> list[Path]:
    """A folder that root alone may enter, and in it a file to read, a folder to write, and a neighbour."""
    folder.chmod(0o700)
    (folder / "writes").mkdir(mode=0o700)
    for name in ("model", "writes/slot", "neighbour"):
        (folder / name).write_text("old")
        (folder / name).chmod(0o644 if name == "neighbour" else 0o600)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner)
    return [folder, folder / "model", folder / "writes", folder / "neighbour"]


@ROOT
@pytest.mark.parametrize("owner", [0, ANOTHER], ids=["root's", "another's"])
def test_its_user_reads_and_overwrites_files_whoever_owns_them(tmp_path: Path, owner: int) -> None:
    paths = files_of(tmp_path, owner)
    before = [path.stat() for path in sorted(tmp_path.rglob("*"))]
    shown, user, groups, read, overwritten, written, hidden, listed = told(SHOWN, OWN, *paths)
    assert (shown, user, groups) == (True, [OWN] * 6, [])
    assert (read, overwritten, written) == ("old", "OSError", "new")
    assert (hidden, listed) == ("FileNotFoundError", ["model", "writes"])
    after = [path.stat() for path in sorted(tmp_path.rglob("*"))]
    assert [(seen.st_uid, seen.st_mode) for seen in after] == [(seen.st_uid, seen.st_mode) for seen in before]
    assert [(tmp_path / name).read_text() for name in ("model", "writes/slot")] == ["old", "new"]


@ROOT
def test_where_owners_cannot_be_mapped_nothing_is_shown_nor_hidden(tmp_path: Path) -> None:
    paths = files_of(tmp_path, 0)
    outcome = told(SHOWN.replace("namespaces.become(user, ())", ""), OWN, *paths, paths[1], "/proc/version")
    shown, _, _, _, _, _, hidden, listed = outcome
    assert (shown, hidden, listed) == (False, "old", ["model", "neighbour", "writes"])


@ROOT
def test_a_path_that_is_not_there_keeps_no_other_from_being_shown(tmp_path: Path) -> None:
    paths = files_of(tmp_path, 0)
    shown, _, _, read, *_ = told(SHOWN, OWN, *paths, paths[1], tmp_path / "missing")
    assert (shown, read) == (True, "old")


@ROOT
def test_a_link_is_shown_by_its_name_and_by_what_it_names(tmp_path: Path) -> None:
    paths = files_of(tmp_path, 0)
    link = tmp_path / "link"
    link.symlink_to(paths[1])
    shown, _, _, read, *_ = told(SHOWN, OWN, paths[0], link, *paths[2:])
    assert (shown, read) == (True, "old")


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that all may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@ROOT
@pytest.mark.parametrize("name", ["in/model", "shut/out/model", "in/link", "shut/files/link"])
def test_files_are_shown_behind_links_into_shut_folders_and_out_of_them(everybodys: Path, name: str) -> None:
    for folder in ("shut", "shut/files", "open"):
        (everybodys / folder).mkdir(mode=0o755 if folder == "open" else 0o700)
    for folder in ("shut/files", "open"):
        (everybodys / folder / "model").write_text("old")
        (everybodys / folder / "model").chmod(0o600)
    links = {"in": "shut/files", "shut/out": "../open", "shut/files/link": "../../open/model"}
    for link, to in links.items():
        (everybodys / link).symlink_to(to)
    paths = [everybodys, everybodys / name, everybodys / "open", everybodys / "shut"]
    shown, _, _, read, *_ = told(SHOWN, OWN, *paths)
    assert (shown, read) == (True, "old")


TAKEN_AWAY = """
link, target = given
came_of = came(lambda: namespaces._make_place(link, False, ["/root"]))
beneath = came(lambda: namespaces._make_place(link, False, [os.path.dirname(link)]))
tell(came_of, beneath, os.path.exists(target))
"""


def test_what_was_taken_away_meanwhile_is_not_made_by_root_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    outcome = told(TAKEN_AWAY, tmp_path / "link", tmp_path / "target")
    assert outcome == ["FileNotFoundError", "FileExistsError", False]
