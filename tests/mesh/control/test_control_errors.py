"""Errors of the control socket: scripts tell them apart by code, people by text and hint."""

import pytest

from mesh.control.control_errors import (
    AlreadyRunning,
    ControlError,
    Evicted,
    NotJoined,
    NotRunning,
    OperationRefused,
    OtherStateDir,
)


@pytest.mark.parametrize("error", [NotJoined(), NotRunning(), Evicted("anna evicted it")])
def test_a_machine_in_no_pool_has_one_code_however_that_came(error: ControlError) -> None:
    assert isinstance(error, NotJoined)
    assert error.code == "not_joined"
    assert "mesh join" in error.hint


def test_other_errors_have_codes_of_their_own() -> None:
    assert (ControlError("x").code, AlreadyRunning("x").code) == ("failed", "already_running")


def test_a_refusal_has_the_code_that_the_sidecar_sent_and_no_other_error_has_it() -> None:
    refused = OperationRefused("not_an_owner", "only owners may", "ask one")
    assert (refused.code, refused.message, refused.hint) == ("not_an_owner", "only owners may", "ask one")
    assert OperationRefused.code == "failed"


def test_the_sidecar_of_another_directory_is_named_with_both() -> None:
    error = OtherStateDir("/run/mesh.sock", "/home/a/state", "/home/b/state")
    assert "/home/a/state" in error.message
    assert "/home/b/state" in error.message
    assert "from its own home" in error.hint
