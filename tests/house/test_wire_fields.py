"""Every field of every fact and message has its row in docs/protocol/wire.md, and every row its field."""

import dataclasses
import json
import typing
from typing import Any

import pytest

from mesh.net.versions_preface import ProgramVersion
from mesh.wire import codec
from mesh.wire.facts import Fact, LaterFact, Quarantine, Stage
from mesh.wire.messages import Message
from mesh.wire.profile import Model, OfferedDevice, Profile
from mesh.wire.rumours import Rumour
from mesh.wire.versions import SPOKEN
from tests.house.tree import ROOT
from tests.house.wire_fields import PREFACE, TABLES, Table

PARTS = (Profile, Model, OfferedDevice, Stage, Quarantine, Rumour)
ALL = [table for tables in TABLES.values() for table in tables]
every_table = pytest.mark.parametrize("table", ALL, ids=lambda table: table.of.__name__)


def _names(of: type[Any]) -> list[str]:
    """The fields of a class that are on the wire, in order."""
    if issubclass(of, tuple):
        return list(of._fields)  # type: ignore[attr-defined]
    return [field.name for field in dataclasses.fields(of) if field.name != codec.UNKNOWN]


def _in_version_2(of: type[Any]) -> int:
    """How many fields it had, by what the last program of version 2 alone wrote."""
    golden = json.loads((ROOT / "tests/mesh/wire/version_2.json").read_text(encoding="utf-8"))
    facts = {name: _array(data, 64) for name, data in golden["facts"].items()}
    messages = {name: _array(data, 0) for name, data in golden["messages"].items()}
    arrays = {
        **facts,
        **messages,
        "Profile": facts["Record"][-1],
        "Model": facts["Deployment"][3],
        "Stage": facts["PoolState"][-1][0],
        "Rumour": messages["Rumours"][0][0],
    }
    return len(arrays.get(of.__name__, ()))


def _array(data: str, signature: int) -> list[Any]:
    body = bytes.fromhex(data)
    fields: list[Any] = codec.unpack(body[: len(body) - signature], len(body))[1:]
    return fields


def test_every_fact_every_message_and_their_parts_have_a_table() -> None:
    said = {area: [table.of for table in tables] for area, tables in TABLES.items()}
    kinds = {"facts": typing.get_args(Fact), "messages": typing.get_args(Message), "parts": PARTS}
    assert {area: set(of) for area, of in said.items()} == {area: set(of) for area, of in kinds.items()}
    assert [of.kind for of in said["messages"]] == list(range(1, len(said["messages"]) + 1))
    assert [of.kind for of in said["facts"] if of is not LaterFact] == list(range(1, len(said["facts"])))


@every_table
def test_each_field_has_its_row_and_each_row_its_field(table: Table) -> None:
    """If not: write it in tests/house/wire_fields.py, then ``python -m tests.house.pages``."""
    assert [row[0] for row in table.fields] == _names(table.of)


@every_table
def test_a_row_says_since_when_and_fields_are_added_at_the_end_with_a_default(table: Table) -> None:
    since = [int(row[1]) for row in table.fields]
    assert since == sorted(since)
    assert {*since} <= {2, *range(3, SPOKEN.newest + 1)}
    assert since.count(2) == _in_version_2(table.of)
    if since.count(2):
        later = {row[0] for row in table.fields if row[1] != "2"}
        fields = dataclasses.fields(table.of) if dataclasses.is_dataclass(table.of) else ()
        assert [one.name for one in fields if one.name in later and one.default is dataclasses.MISSING] == []


@every_table
def test_a_row_has_a_bound_and_words(table: Table) -> None:
    assert [row for row in table.fields if len(row) != 4 or not all(row)] == []


def test_what_a_preface_says_of_versions_has_its_row() -> None:
    rows = [line.split(" | ") for line in PREFACE.strip().splitlines()]
    within = {key: where for key, where, _ in rows}
    assert len(within) == len(rows)
    program = ProgramVersion(SPOKEN)
    assert {key for key in program.answer() if within[key] != "both"} == set()
    assert {key for key in program.preface() if within[key] == "answer"} == set()
    assert {key for key, where in within.items() if where == "both"} == set(program.answer())
