"""Where the library keeps its cache, and what is in it, found without the library."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.hub.hub_cache import arrived_bytes, cache_folder
from mesh.hub.repository import HubFile

PLACES: list[tuple[dict[str, str], str]] = [
    ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
    ({"HUGGINGFACE_HUB_CACHE": "/a"}, "/a"),
    ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
    ({"HF_HOME": "~/models"}, str(Path.home() / "models/hub")),
    ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
    ({}, str(Path.home() / ".cache/huggingface/hub")),
]
"""Variables, and the folder of the hub's cache."""
LIBRARYS = """
import importlib, json, os, sys
from huggingface_hub import constants
for variables in json.loads(sys.argv[1]):
    os.environ.clear()
    os.environ.update(variables)
    print(importlib.reload(constants).HF_HUB_CACHE)
"""


@pytest.mark.parametrize(("environment", "folder"), PLACES)
def test_the_cache_is_where_the_variables_say(environment: dict[str, str], folder: str) -> None:
    assert cache_folder(environment) == Path(folder)


def test_an_empty_variable_says_nothing() -> None:
    assert cache_folder({"HF_HUB_CACHE": "", "HF_HOME": "/b"}) == Path("/b/hub")


def test_the_library_reads_the_variables_in_the_same_way() -> None:
    given = json.dumps([{**variables, "HOME": str(Path.home())} for variables, _ in PLACES])
    printed = subprocess.check_output([sys.executable, "-c", LIBRARYS, given], text=True)
    assert printed.split() == [folder for _, folder in PLACES]


def test_what_is_there_whole_or_in_part_counts_up_to_its_size(tmp_path: Path) -> None:
    blobs = tmp_path / "models--owner--repo" / "blobs"
    blobs.mkdir(parents=True)
    whole, part, absent, unknown = (HubFile(f"{name}.gguf", 100, name * 64) for name in ("a", "b", "c", ""))
    (blobs / whole.sha256).write_bytes(bytes(100))
    (blobs / f"{part.sha256}.incomplete").write_bytes(bytes(30))
    environment = {"HF_HUB_CACHE": str(tmp_path)}
    files = [whole, part, absent, unknown]
    assert arrived_bytes("owner/repo", files, environment) == 130
    assert arrived_bytes("owner/other", files, environment) == 0
    (blobs / f"{part.sha256}.incomplete").write_bytes(bytes(300))
    assert arrived_bytes("owner/repo", files, environment) == 200
