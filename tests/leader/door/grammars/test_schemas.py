import contextlib
from random import Random
from typing import Any

import pytest

from leader.door.grammars.schemas import check_schema
from leader.door.orders import Unacceptable
from tests.fuzz import requests

LINKS = 28


def chain(link: Any) -> dict[str, Any]:
    """Definitions, each of which is made of the next."""
    defs = {f"R{at}": link(f"#/$defs/R{at + 1}", at) for at in range(LINKS)}
    return {"$ref": "#/$defs/R0", "$defs": {**defs, f"R{LINKS}": {"type": "string"}}}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


EXPRESSION = {
    "$ref": "#/$defs/E",
    "$defs": {
        "E": {"anyOf": [{"$ref": "#/$defs/Add"}, {"$ref": "#/$defs/Not"}, {"type": "number"}]},
        "Add": thing(kind={"const": "add"}, left={"$ref": "#/$defs/E"}, right={"$ref": "#/$defs/E"}),
        "Not": thing(kind={"const": "not"}, value={"$ref": "#/$defs/E"}),
    },
}
TREE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": thing(
            value={"type": "string"},
            children={"type": "array", "items": {"$ref": "#/$defs/Node"}},
            left={"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        )
    },
}
FILTER = {
    "anyOf": [{"$ref": "#/$defs/F"}],
    "$defs": {
        "F": {
            "oneOf": [
                thing(**{"and": {"type": "array", "items": {"$ref": "#/$defs/F"}}}),
                thing(**{"or": {"type": "array", "items": {"$ref": "#/$defs/F"}}}),
                thing(
                    field={"type": "string"}, op={"enum": ["=", "<"]}, value={"type": ["string", "number"]}
                ),
            ]
        }
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        EXPRESSION,
        TREE,
        FILTER,
        {"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(250)}},
        {"enum": [f"value {at}" for at in range(900)]},
        {"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1},
        {"type": "integer", "exclusiveMinimum": 0},
        {"type": "string", "minLength": 1, "maxLength": 100_000, "description": "x" * 10_000},
        {"type": "array", "minItems": 1, "maxItems": 50, "items": {"type": "array", "maxItems": 50}},
        {"anyOf": [thing(a={"type": "string"}), thing(a={"type": "integer"}), {"type": "null"}]},
        {"type": ["string", "null"], "pattern": "^[a-z]+$", "format": "email"},
        {"$defs": {"unused": {"$ref": "#/nowhere"}}, "type": "string"},
    ],
)
def test_schemas_that_people_use_pass(schema: dict[str, Any]) -> None:
    assert check_schema(schema, "json_schema") >= 0


def types_in_types(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": ["object"] * 10, "properties": {"a": schema}}
    return schema


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        # The engine follows a $ref that is nothing but itself until its stack is used up.
        {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/B"}]}, "B": {"$ref": "#/$defs/A"}}},
        chain(lambda ref, at: {"anyOf": [{"$ref": ref}, {"$ref": ref}, {"type": "null"}]}),
        chain(lambda ref, at: {"anyOf": [thing(a={"$ref": ref}), thing(a={"$ref": ref}, b={"const": at})]}),
        {
            "$ref": "#/$defs/E",
            "$defs": {
                "E": {
                    "anyOf": [
                        {"type": "array", "items": {"$ref": "#/$defs/E"}},
                        {"type": "array", "items": {"$ref": "#/$defs/E"}, "minItems": 1},
                    ]
                }
            },
        },
        types_in_types(8),
        nested(60),
        {"type": "object", "properties": {"x" * 100_000: {"type": "string"}}},
        {"type": "object", "properties": {f"p{at}": {} for at in range(1000)}},
        {"enum": [f"value {at}" for at in range(5000)]},
        # Beyond sixteen digits the engine counts from the longer to the shorter, and never gets there.
        {"type": "integer", "minimum": 10**17},
        {"type": "integer", "maximum": -(10**17)},
        {"type": "integer", "minimum": 1e300},
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"type": "string", "minLength": 5, "maxLength": 1},
        {"type": "array", "minItems": -1},
        {"type": "array", "maxItems": 2**31},
        {"type": "array", "maxItems": 1.5},
        {
            "type": "object",
            "properties": {f"p{at}": {"type": "string", "maxLength": 2000} for at in range(290)},
        },
        {"type": "string", "pattern": "^(((((a{0,99}){0,99}){0,99}){0,99}){0,99})$"},
        {"$ref": "http://127.0.0.1/x"},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": 5},
        {"description": "x" * (1 << 20)},
        [],
        True,
        "string",
    ],
)
def test_schemas_that_keep_the_engine_busy_or_are_none_are_refused(schema: Any) -> None:
    with pytest.raises(Unacceptable) as refused:
        check_schema(schema, "response_format.schema")
    assert refused.value.field == "response_format.schema"


def test_schemas_of_the_fuzzer_are_measured_or_refused() -> None:
    random, passed = Random(5), 0
    for _ in range(500):
        with contextlib.suppress(Unacceptable):
            check_schema(requests.schema(random), "json_schema")
            passed += 1
    assert 25 < passed < 475
