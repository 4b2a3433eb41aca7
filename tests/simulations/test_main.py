import pytest

from simulations.__main__ import main


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(command in text for command in ("chaos", "replay", "shrink", "mutants"))


def test_an_unknown_command_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["shake"])
    assert "invalid choice" in capsys.readouterr().err


def test_mutants_are_not_sought_in_the_compiled_build(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--compiled", "mutants"])
    assert "cannot be compiled" in capsys.readouterr().err
