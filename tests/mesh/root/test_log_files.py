"""The sidecar's log is in its state directory, in lines for people or programs, and bounded."""

import json
import logging
import logging.handlers
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from mesh.control.paths import log_path
from mesh.control.sidecar_options import SidecarOptions
from mesh.root.log_files import LIMIT, log_to


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()  # pytest's own stay open: the code under test closes those it replaces
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level


def written(state: Path, form: Literal["text", "json"], *, foreground: bool = False) -> str:
    log_to(SidecarOptions(state, log_format=form, foreground=foreground))
    logging.getLogger("mesh.test").info("hello %s", "there")
    logging.getLogger("httpx").info("chatter")
    return Path(log_path(str(state))).read_text()


def test_people_read_time_level_and_text(tmp_path: Path) -> None:
    (line,) = written(tmp_path / "state", "text").splitlines()
    assert line.endswith("INFO    mesh.test: hello there")


def test_programs_read_one_object_a_line(tmp_path: Path) -> None:
    entry = json.loads(written(tmp_path, "json"))
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", "mesh.test", "hello there")
    assert entry["time"].endswith("Z")


def test_an_exception_is_part_of_its_line(tmp_path: Path) -> None:
    log_to(SidecarOptions(tmp_path, log_format="json"))
    try:
        raise ValueError("broken\nin two lines")
    except ValueError:
        logging.getLogger("mesh.test").exception("that was wrong")
    (line,) = Path(log_path(str(tmp_path))).read_text().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_where_a_person_watches_the_log_goes_to_stderr_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "a", "text")
    assert capsys.readouterr().err == ""
    written(tmp_path / "b", "text", foreground=True)
    assert "hello there" in capsys.readouterr().err


def test_the_log_stays_within_its_bound(tmp_path: Path) -> None:
    log_to(SidecarOptions(tmp_path))
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.handlers.RotatingFileHandler)
    assert handler.maxBytes == LIMIT
    handler.maxBytes = 10_000
    for _ in range(1000):
        logging.getLogger("mesh.test").info("a line of some length")
    files = list(tmp_path.glob("mesh.log*"))
    assert len(files) == 2
    assert sum(file.stat().st_size for file in files) <= 20_000
