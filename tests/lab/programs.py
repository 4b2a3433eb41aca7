"""Other versions of the program than this checkout's, made of it by exact edits of its sources.

A host runs this checkout's unless one of these is installed there (`Host.install`).
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = ("mesh", "worker", "leader")
"""What is installed of this checkout."""
CHECKOUT = Path(__file__).parents[2]

Edits = Mapping[str, Sequence[tuple[str, str]]]
"""By file: what stands there exactly once, and what stands there in the other version."""

WEATHER, SEASON = "fair", "spring"
"""What the next version says in the fields that it adds."""

_FIELDS_OF_NEXT = """\
    weather: str = ""
    form: int = dataclasses.field(default=3, compare=False)
"""
_FORM_OF_NEXT = """
def _load_next(value: Any) -> Profile:
    if type(value) is list and len(value) == 1:
        return dataclasses.replace(_GROWING.load(value[0]), form=4)
    return _GROWING.load(value)


_NEXT = Codec(lambda profile: [_GROWING.dump(profile)], _load_next)
"""
_FORM = "(GROWING_FORM if version < 4 else NEXT_FORM)"
_FORMS_OF_NEXT = """\
NEXT_FORM = GROWING_FORM | {
    Record.kind: growing(Record, _ID, _ID, UINT, fixed(8), UINT, BOOL, profile_codec(4))
}

"""


def _after(anchor: str, added: str) -> tuple[str, str]:
    return anchor, anchor + added


def _before(anchor: str, added: str) -> tuple[str, str]:
    return anchor, added + anchor


_SPOKEN = "SPOKEN = Versions(2, 3)"
NEXT: Edits = {
    "mesh/wire/versions.py": [(_SPOKEN, "SPOKEN = Versions(3, 4)")],
    "mesh/wire/profile.py": [
        _after("    devices: tuple[OfferedDevice, ...] = ()\n", _FIELDS_OF_NEXT),
        ("listed(DEVICE, MAX_DEVICES)))\n", f"listed(DEVICE, MAX_DEVICES), text(24)))\n{_FORM_OF_NEXT}"),
        ("else _GROWING\n", "else _GROWING if version < 4 else _NEXT\n"),
        _after("from dataclasses import dataclass\n", "from typing import Any\n"),
    ],
    "mesh/wire/facts.py": [_after("    second: Model | None = None\n", '    season: str = ""\n')],
    "mesh/wire/signed_facts.py": [
        _after("_OPTIONS, codec.optional(MODEL)", ", text(24)"),
        _before("_LATER_FACT = growing(", _FORMS_OF_NEXT),
        ("body = _body(fact, GROWING_FORM)", f"body = _body(fact, {_FORM})"),
        ("else GROWING_FORM).get", f"else {_FORM}).get"),
    ],
    "mesh/protocol/facts/owner_acts.py": [
        _after("context, slots, running, layers, copies", f", season={SEASON!r}")
    ],
    "mesh/member/own_profile.py": [_after("name=options.name,\n", f"        weather={WEATHER!r},\n")],
    "mesh/runtime/status.py": [
        _before('        "rights": member.rights.names(),\n', "        **_next_fields(profile),\n"),
        _after('        "model": wanted.model.name,\n', '        "season": wanted.season,\n'),
        _before(
            "def _member(",
            "def _next_fields(profile):\n"
            '    return {"weather": profile.weather, "form": profile.form} if profile else {}\n\n\n',
        ),
    ],
}
"""The version after this one. It adds a field to profile and deployment, which this one must pass on unread.

Its own form of a record is one that this version cannot read at all, as no real one may be: it wraps the
profile. `mesh status --json` shows its fields, and in which form each member's record is.
"""
TOO_FAR: Edits = {"mesh/wire/versions.py": [(_SPOKEN, "SPOKEN = Versions(5, 6)")]}
"""A version that has none in common with this one."""


def make(folder: Path, edits: Edits) -> Path:
    """This checkout's program with these edits, in a folder that must not exist yet.

    Raises AssertionError where the sources are no longer what the edits were written for.
    """
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in edits.items():
        path = folder / name
        text = path.read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{name} has {text.count(old)} times what the edit replaces: {old!r}"
            text = text.replace(old, new)
        path.write_text(text)
    return folder
