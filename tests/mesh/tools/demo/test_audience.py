"""An audience that hears nothing: for scripts."""

import pytest

from mesh.tools.demo.audience import Audience


def test_an_audience_need_not_show_anything(capfd: pytest.CaptureFixture[str]) -> None:
    audience = Audience()
    audience.heading("a step")
    audience.line("a fact")
    audience.progress({"text": "waiting", "progress": 0.5})
    audience.piece("a word")
    audience.killed("alpha")
    audience.answer_ends()
    assert capfd.readouterr() == ("", "")
