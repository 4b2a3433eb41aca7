"""What goes between a program and the hub's process."""

from mesh.hub.hub_lines import HubError


def test_an_error_has_a_kind_for_programs_and_a_sentence_for_people() -> None:
    error = HubError("disk", "the disk is full", "make room")
    assert (error.code, str(error)) == ("disk", "the disk is full (make room)")
