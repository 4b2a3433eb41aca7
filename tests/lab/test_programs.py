"""Other versions of the program: they are what their edits say, and a host runs the one installed there."""

from pathlib import Path

import pytest

from tests.lab import programs
from tests.lab.lab import Lab


@pytest.mark.parametrize("old", ["no such line", "Versions"], ids=["gone", "there more than once"])
def test_sources_that_an_edit_was_not_written_for_are_told(tmp_path: Path, old: str) -> None:
    with pytest.raises(AssertionError, match="times what the edit replaces"):
        programs.make(tmp_path / "program", {"mesh/wire/versions.py": [(old, "")]})


@pytest.mark.parametrize("edits", [programs.NEXT, programs.TOO_FAR], ids=["next", "too far"])
def test_a_host_runs_what_is_installed_there_and_others_this_checkouts(
    lab: Lab, tmp_path: Path, edits: programs.Edits
) -> None:
    anna, bert = lab.hosts(2)
    here = anna.mesh("--version").stdout
    anna.install(programs.make(tmp_path / "program", edits))
    other = anna.mesh("--version").stdout
    assert other != here
    assert bert.mesh("--version").stdout == here
    anna.install(None)
    assert anna.mesh("--version").stdout == here
