"""The installer as far as it goes without the network: it must fail in words, and never halfway."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "join_pool.sh"


def run(
    home: Path, *arguments: str, text: str | None = None, umask: int = -1, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the script, through a pipe if ``text`` is given, with a home of its own and no uv on the PATH."""
    argv = ["bash", "-s", "--", *arguments] if text is not None else ["bash", str(SCRIPT), *arguments]
    settings = {"HOME": str(home), "PATH": str(tools_without_uv(home.parent))} | environment
    return subprocess.run(
        argv, env=settings, input=text or "", umask=umask, capture_output=True, text=True, timeout=60
    )


def tools_without_uv(folder: Path) -> Path:
    """A folder with what a fresh machine has of the programs that the script calls."""
    tools = folder / "tools"
    if not tools.exists():
        tools.mkdir()
        for program in ("bash", "uname", "dirname", "mkdir", "mktemp", "cat", "grep", "rm", "readlink", "ln"):
            found = shutil.which(program)
            assert found is not None
            (tools / program).symlink_to(found)
        (tools / "python3").symlink_to(sys.executable)
    return tools


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def index() -> Iterator[str]:
    """A package index whose uv wheels are not the real ones; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"no wheel at all"
            if self.path == "/simple/uv/":
                wheels = [
                    "manylinux_2_17_x86_64.manylinux2014_x86_64",
                    "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
                    "musllinux_1_1_x86_64",
                    "macosx_10_12_x86_64",
                    "macosx_11_0_arm64",
                ]
                version = SCRIPT.read_text().partition("UV_VERSION=")[2].split()[0]
                links = [f"../../files/uv-{version}-py3-none-{wheel}.whl" for wheel in wheels]
                body = "".join(f'<a href="{link}#sha256=0">uv</a>' for link in links).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """The test's output is no place for an access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


def test_a_download_that_was_cut_short_executes_nothing(home: Path) -> None:
    whole = SCRIPT.read_text()
    cuts = [*range(200, len(whole), 1500), whole.rindex("main "), whole.rindex('"$@"'), len(whole) - 3]
    for cut in cuts:
        result = run(home, "--bootstrap-uv", text=whole[:cut])
        assert list(home.iterdir()) == [], f"cut after {cut} characters: {result.stderr}"
        assert "join_pool:" not in result.stderr


def test_a_uv_that_is_not_the_expected_one_is_refused_and_not_kept(home: Path, index: str) -> None:
    result = run(home, "--bootstrap-uv", PIP_INDEX_URL=index)
    assert result.returncode == 1
    assert "SHA-256 is not the expected one" in result.stderr
    assert [path for path in home.rglob("*") if path.name.startswith("uv")] == []


def test_an_index_that_cannot_be_reached_is_named_as_the_trouble(home: Path) -> None:
    result = run(home, "--bootstrap-uv", PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert result.returncode == 1
    assert "uv cannot be fetched" in result.stderr
    assert "PIP_INDEX_URL" in result.stderr


def test_a_machine_without_python_is_told_how_to_get_it(home: Path) -> None:
    (tools_without_uv(home.parent) / "python3").unlink()
    result = run(home, "status")
    assert result.returncode == 1
    assert "python3 is missing" in result.stderr
    assert "install" in result.stderr


def test_a_home_that_cannot_be_written_to_is_named(home: Path) -> None:
    result = run(home, "status", XDG_DATA_HOME="/dev/null/data")
    assert result.returncode == 1
    assert "cannot write to /dev/null/data/frankenstein-mesh" in result.stderr
    assert "XDG_DATA_HOME" in result.stderr


def open_to_others(folder: Path) -> list[Path]:
    found = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    return [path for path in found if path.stat().st_mode & 0o022]


def test_under_any_umask_what_it_makes_is_this_users_alone(home: Path) -> None:
    home.chmod(0o755)
    run(home, text=SCRIPT.read_text(), umask=0, MESH_SOURCE=os.devnull + ".tar.gz")
    assert (home / ".local/share/frankenstein-mesh/lock").exists()
    assert open_to_others(home) == []


def test_a_folder_that_others_could_write_to_is_not_trusted(home: Path) -> None:
    data = home / ".local/share/frankenstein-mesh"
    data.mkdir(parents=True)
    data.chmod(0o777)
    result = run(home, "status")
    assert result.returncode == 1
    assert f"others could write to {data}" in result.stderr
    assert f"rm -rf '{data}', and run this again" in result.stderr


def test_a_folder_that_others_may_look_into_is_closed_to_them(home: Path) -> None:
    data = home / ".local/share/frankenstein-mesh"
    data.mkdir(parents=True)
    data.chmod(0o775)
    run(home, text=SCRIPT.read_text())
    assert data.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(home: Path) -> None:
    data = home / ".local/share/frankenstein-mesh"
    data.mkdir(parents=True)
    os.chown(data, 65534, 65534)
    result = run(home, "status")
    assert result.returncode == 1
    assert f"{data} belongs to another user" in result.stderr


def test_a_piped_script_without_source_asks_for_it(home: Path) -> None:
    result = run(home, text=SCRIPT.read_text())
    assert result.returncode == 1
    assert "MESH_SOURCE" in result.stderr


def test_an_archive_that_reaches_out_of_its_folder_is_refused(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "source.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    result = run(home, text=SCRIPT.read_text(), MESH_SOURCE=str(archive))
    assert result.returncode == 1
    assert "refusing ../outside" in result.stderr


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """What passes for the source until it is installed."""
    path = tmp_path / "source.tar.gz"
    content = b'name = "frankenstein-mesh"\n'
    with tarfile.open(path, "w:gz") as file:
        entry = tarfile.TarInfo("mesh-1/pyproject.toml")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def place(archive: Path) -> Iterator[str]:
    """A plain web server that has it, and sends whoever asks for /moved to it; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moved = self.path.startswith("/moved")
            self.send_response(302 if moved else 200)
            self.send_header("Location", "/source.tar.gz")
            self.end_headers()
            if not moved:
                self.wfile.write(archive.read_bytes())

        def log_message(self, format: str, *args: object) -> None:
            """The test's output is no place for an access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def taken_from(home: Path, source: str) -> tuple[str | None, str]:
    """The place that was accepted as the source's, if it was, and what was said. Nothing is installed."""
    kept = home / ".local/share/frankenstein-mesh/source"
    kept.unlink(missing_ok=True)
    unreachable = "http://127.0.0.1:9/simple"
    result = run(home, text=SCRIPT.read_text(), MESH_SOURCE=source, PIP_INDEX_URL=unreachable)
    assert result.returncode == 1
    return kept.read_text().strip() if kept.exists() else None, result.stderr


def hashed(archive: Path) -> str:
    return f"#sha256={hashlib.sha256(archive.read_bytes()).hexdigest()}"


def test_what_comes_over_plain_http_is_taken_by_its_hash_alone(home: Path, archive: Path, place: str) -> None:
    for path in ("source.tar.gz", "moved.tar.gz"):
        address = f"{place}/{path}"
        kept, said = taken_from(home, address)
        assert kept is None
        assert f"refusing {address}: whoever is on the way there could change what comes" in said
        assert f"{address}#sha256=HEX" in said
        assert taken_from(home, address + hashed(archive))[0] == address + hashed(archive)


def test_an_archive_on_the_disk_needs_no_hash_but_one_that_is_given_must_be_its(
    home: Path, archive: Path, place: str
) -> None:
    for address in (str(archive), f"file://{archive}"):
        assert taken_from(home, address)[0] == address
        assert taken_from(home, address + hashed(archive).upper().replace("SHA", "sha"))[0] is not None
    for address in (str(archive), f"file://{archive}", f"{place}/source.tar.gz"):
        kept, said = taken_from(home, f"{address}#sha256={'0' * 64}")
        assert kept is None
        assert f"its SHA-256 is {hashed(archive).partition('=')[2]}, not the expected one" in said


@pytest.mark.parametrize(
    "fragment", ["sha256=", "sha256=12", "main", "sha1=" + "0" * 64, f"sha256={'0' * 65}"]
)
def test_what_is_no_hash_after_an_archive_is_said_to_be_none(
    home: Path, archive: Path, fragment: str
) -> None:
    kept, said = taken_from(home, f"{archive}#{fragment}")
    assert kept is None
    assert "sha256= and 64 hexadecimal digits" in said


@pytest.mark.parametrize(
    "address", ["http://mesh.example/it.git", "HTTP://mesh.example/it", "git://x/it#main"]
)
def test_a_repository_over_a_plain_connection_is_refused(home: Path, address: str) -> None:
    kept, said = taken_from(home, address)
    assert kept is None
    assert f"refusing {address.partition('#')[0]}: " in said
    assert "https or ssh" in said


def test_a_place_that_was_accepted_once_is_not_trusted_with_another_archive(
    home: Path, archive: Path
) -> None:
    data = home / ".local/share/frankenstein-mesh"
    (data / "env-1/bin").mkdir(parents=True)
    for name in ("mesh", "python"):
        (data / "env-1/bin" / name).write_text("#!/bin/sh\n[ $# = 2 ] || echo the installed one\n")
        (data / "env-1/bin" / name).chmod(0o755)
    (data / "env-1/.finished").touch()
    (data / "current").symlink_to("env-1")
    kept = f"{archive}{hashed(archive)}"
    (data / "source").write_text(kept)
    archive.write_bytes(b"another")
    result = run(home, "status", text=SCRIPT.read_text())
    assert (result.returncode, result.stdout) == (0, "the installed one\n")
    assert "not the expected one" in result.stderr
    assert "going on with the version that is installed" in result.stderr
    named = run(home, "status", text=SCRIPT.read_text(), MESH_SOURCE=kept)
    assert (named.returncode, named.stdout) == (1, ""), "who names a source wants that one"


def test_a_uv_on_the_path_that_is_new_enough_serves(home: Path) -> None:
    uv = tools_without_uv(home.parent) / "uv"
    uv.write_text("#!/bin/sh\necho uv 99.0.0\n")
    uv.chmod(0o755)
    assert run(home, "--bootstrap-uv").stdout == f"{uv}\n"


def test_what_was_left_unfinished_is_not_in_the_data_folder(home: Path) -> None:
    run(home, text=SCRIPT.read_text(), MESH_SOURCE=os.devnull + ".tar.gz")
    data = home / ".local/share/frankenstein-mesh"
    assert [path.name for path in data.iterdir() if path.name.startswith("work.")] == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the source, to be changed."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for entry in ("mesh", "worker", "leader"):
        shutil.copytree(SCRIPT.parent / entry, copy / entry, ignore=shutil.ignore_patterns("__pycache__"))
    for entry in ("pyproject.toml", "uv.lock", "README.md", "LICENSE", "join_pool.sh"):
        shutil.copy(SCRIPT.parent / entry, copy)
    return copy


def install(checkout: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the checkout's script with this machine's programs, and its uv with what that has in its cache."""
    uv = subprocess.run(["bash", str(SCRIPT), "--bootstrap-uv"], capture_output=True, text=True, check=True)
    cache = subprocess.run([uv.stdout.strip(), "cache", "dir"], capture_output=True, text=True, check=True)
    path = f"{home}/.local/bin:{Path(uv.stdout).parent}:{os.environ['PATH']}"
    unset = ("XDG_", "MESH_", "VIRTUAL_ENV")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    settings |= {"HOME": str(home), "PATH": path, "UV_CACHE_DIR": cache.stdout.strip()}
    argv = ["bash", str(checkout / "join_pool.sh"), *arguments]
    return subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=300)


def test_it_installs_once_and_again_only_what_has_changed(home: Path, checkout: Path) -> None:
    (home / ".local/bin").mkdir(parents=True)
    first = install(checkout, home, "--version")
    assert first.returncode == 0, first.stderr
    assert "installing mesh" in first.stderr
    version = subprocess.run([home / ".local/bin/mesh", "--version"], capture_output=True, text=True)
    assert version.stdout == first.stdout

    second = install(checkout, home, "status", "--json")
    assert second.returncode == 3, "the exit code is the command's: not joined"
    assert "installing mesh" not in second.stderr

    module = checkout / "mesh/cli/main.py"
    module.write_text(module.read_text() + '\nprint("upgraded")\n')
    third = install(checkout, home, "--version")
    assert "installing mesh" in third.stderr
    assert third.stdout.startswith("upgraded")
    data = home / ".local/share/frankenstein-mesh"
    assert len(list(data.glob("env-*"))) == 1, "the environment that nothing uses is removed"
