"""The names of all fields that the pinned llama-server reads from a request, found in its source.

``engine_fields.txt`` holds them, each with its kind; a new pin's new field is seen by comparing the two.

    python -m tests.fuzz.engine_fields > tests/fuzz/engine_fields.txt
"""

import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from mesh.engine.install.cache import cache_dir
from mesh.engine.install.pins import SDIST_NAME, SOURCE_PREFIX

LIST = Path(__file__).with_name("engine_fields.txt")
SOURCES = (
    "tools/server/server-schema.cpp",
    "tools/server/server-common.cpp",
    "tools/server/server-context.cpp",
    "common/chat.cpp",
)

_DECLARED = re.compile(r'new field_(bool|num|json|str|nested)\("([^"]+)"|add_alias\("([^"]+)"\)')
_OBJECTS = (
    "body|data|json_prompt|p|image_url|input_audio|input_video|message|msg|item|tool|tool_call|fc|function"
    "|part|chunk|request|response_format|schema_wrapper|json_req|req_body|source|block|thinking"
)
_READ = re.compile(
    rf'\b(?:{_OBJECTS})\.(?:contains|at|count|value)\("([A-Za-z_.]+)"'
    rf'|json_value\((?:{_OBJECTS}),\s*"([A-Za-z_.]+)",\s*(?=([^;]{{0,60}}))'
    r'|char JSON_\w+_KEY\[\] = "([a-z_]+)"'
)
_DEFAULTS = (
    (re.compile(r"^(true|false)\b"), "bool"),
    (re.compile(r"^(-?\d|\(int)"), "num"),
    (re.compile(r"^std::string|^\""), "str"),
)


def fields_in(source: Mapping[str, str]) -> dict[str, str]:
    """Each name with its kind: bool, num, str, nested, or json for all else."""
    kinds: dict[str, str] = {}
    for text in source.values():
        for match in _READ.finditer(text):
            name = match[1] or match[2] or match[4]
            kind = next((kind for rule, kind in _DEFAULTS if rule.match(match[3] or "")), "json")
            if kinds.get(name, "json") == "json":
                kinds[name] = kind
    for text in source.values():
        kind = "json"
        for match in _DECLARED.finditer(text):
            kind = match[1] or kind
            kinds[match[2] or match[3]] = kind
    return kinds


def known_fields() -> dict[str, str]:
    """As the checked-in list has them."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines)
    return {pair[0]: pair[1] for pair in pairs}


def pinned_source() -> dict[str, str] | None:
    """The sources of the pinned engine, where its archive is in the cache."""
    archive = cache_dir() / "downloads" / SDIST_NAME
    if not archive.is_file():
        return None
    found = {}
    with tarfile.open(archive) as files:
        for member in files:
            name = member.name.removeprefix(f"{SOURCE_PREFIX}/")
            file = files.extractfile(member) if name in SOURCES else None
            if file is not None:
                found[name] = file.read().decode()
    return found


def as_text(kinds: Mapping[str, str]) -> str:
    """The list, sorted, a line for each field."""
    return "".join(f"{name} {kinds[name]}\n" for name in sorted(kinds))


if __name__ == "__main__":
    print(as_text(fields_in(pinned_source() or {})), end="")
