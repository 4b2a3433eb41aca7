"""What a client sends has the types that the operation declares, or is refused in words."""

from typing import Any

import pytest

from mesh.control.argument_types import arguments_of
from mesh.control.control_errors import ControlError
from mesh.control.operations import FETCH, INFO, INVITE, JOIN, SERVE, Operation

SERVED = {"model": "/m.gguf", "context": None, "slots": 2, "layers": {"anna": 3}}

FILE = {"path": "a.gguf", "size": 7, "sha256": ""}
FETCHED = {"member": "m", "repo": "a/b", "commit": "c", "files": [FILE], "held": 1}


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (INFO, {}),
        (JOIN, {}),
        (JOIN, {"token": "mesh1:x", "found": False}),
        (SERVE, SERVED),
        (SERVE, {**SERVED, "layers": None, "copies": 3, "wait": True}),
        (INVITE, {"rights": ["work", "own"], "expires": 1.5, "uses": 0}),
        (FETCH, FETCHED),
    ],
)
def test_what_fits_is_handed_on_as_it_came(operation: Operation[Any, Any], told: dict[str, Any]) -> None:
    assert arguments_of(operation, told) == told


def test_a_whole_number_of_seconds_is_a_number_too() -> None:
    expires = arguments_of(INVITE, {"rights": [], "expires": 60, "uses": 1})["expires"]
    assert (type(expires), expires) == (float, 60.0)


@pytest.mark.parametrize(
    ("operation", "told", "wrong"),
    [
        (SERVE, {}, "serve: model is missing"),
        (INFO, {"fast": True}, "info: fast is unknown"),
        (JOIN, {"token": None}, "token is to be text"),
        (JOIN, {"found": "yes"}, "found is to be true or false"),
        (SERVE, {**SERVED, "slots": True}, "slots is to be a whole number"),
        (SERVE, {**SERVED, "slots": 1.5}, "slots is to be a whole number"),
        (SERVE, {**SERVED, "layers": []}, "layers is to be an object"),
        (SERVE, {**SERVED, "layers": {"anna": None}}, r"layers\['anna'\] is to be a whole number"),
        (INVITE, {"rights": "own", "expires": 1, "uses": 1}, "rights is to be a list"),
        (
            INVITE,
            {"rights": ["work", "rule"], "expires": 1, "uses": 1},
            r"rights\[1\] is to be one of work, ",
        ),
        (INVITE, {"rights": [["own"]], "expires": 1, "uses": 1}, r"rights\[0\] is to be one of work, "),
        (FETCH, {**FETCHED, "files": [FILE, "a.gguf"]}, r"files\[1\] is to be an object"),
        (FETCH, {**FETCHED, "files": [{**FILE, "size": "7"}]}, r"files\[0\]\.size is to be a whole number"),
        (FETCH, {**FETCHED, "files": [{"path": "a.gguf"}]}, r"files\[0\]\.size is missing"),
        (INVITE, {"rights": [], "expires": "1", "uses": 1}, "expires is to be a number"),
        (INVITE, {"rights": [], "expires": True, "uses": 1}, "expires is to be a number"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_name(
    operation: Operation[Any, Any], told: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(ControlError, match=wrong) as refused:
        arguments_of(operation, told)
    assert (refused.value.code, refused.value.hint) == (
        "failed",
        "it is of another version than this command: mesh restart",
    )


def test_a_secret_of_the_wrong_type_is_not_repeated() -> None:
    with pytest.raises(ControlError) as refused:
        arguments_of(JOIN, {"token": ["mesh1:secret"]})
    assert "secret" not in str(refused.value)
