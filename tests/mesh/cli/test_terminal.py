import io

import pytest

from mesh.cli import terminal
from mesh.cli.terminal import ProgressBar


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_align_also_with_wide_and_combining_characters() -> None:
    rows = [["A", "N"], ["日本", "1"], ["e\u0301te", "22"]]
    lines = terminal.table(rows, right=(1,)).splitlines()
    assert lines == ["A      N", "日本   1", "e\u0301te   22"]


def test_no_line_of_a_table_ends_in_blanks() -> None:
    assert terminal.table([["A", "B"], ["long", ""]]) == "A     B\nlong"


def test_what_drives_a_terminal_is_taken_out_of_names() -> None:
    assert terminal.clean("a\x1b[31m\r\nb\u202e") == "a?[31m??b?"
    assert "\x1b" not in terminal.table([["N"], ["\x1b[2J"]])


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (180, "3 min"), (86400, "24 h"), (604800, "7 d")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert terminal.duration(seconds) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (-1, "[........................]   0 %"),
        (0.5, "[############............]  50 %"),
        (9, f"[{'#' * 24}] 100 %"),
    ],
)
def test_a_bar_stays_within_its_bounds(fraction: float, text: str) -> None:
    assert terminal.bar(fraction) == text


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.paint("x", "red", Tty()) == "\x1b[31mx\x1b[0m"
    assert terminal.paint("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.paint("x", "red", Tty()) == "x"


def test_without_a_terminal_progress_is_a_line_at_every_tenth() -> None:
    stream = io.StringIO()
    with ProgressBar(stream) as progress:
        progress.show({"text": "searching"})
        progress.show({"text": "searching"})
        for step in range(101):
            progress.show({"text": "loading", "progress": step / 100, "eta_seconds": 100 - step})
    lines = stream.getvalue().splitlines()
    assert lines[0] == "searching"
    assert len(lines) == 1 + 11
    assert lines[1] == "  0%  loading, 100 s left"
    assert lines[-1] == "100%  loading"


def test_without_a_terminal_a_bars_text_may_change_between_its_lines() -> None:
    stream = io.StringIO()
    with ProgressBar(stream) as progress:
        for state in ("copying", "loading"):
            for step in range(20):
                event = {"state": state, "text": f"{state}: {step} MiB", "progress": step / 100}
                progress.show(event)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["  0%  copying: 0 MiB", " 10%  copying: 10 MiB"]
    assert lines[2:] == ["  0%  loading: 0 MiB", " 10%  loading: 10 MiB"]


def test_on_a_terminal_the_bar_is_drawn_over_itself_and_taken_away() -> None:
    stream = Tty()
    with ProgressBar(stream) as progress:
        progress.show({"text": "loading", "progress": 0.1})
        progress.show({"text": "loading", "progress": 0.2})
        progress.show({"text": "ready"})
    drawn = stream.getvalue()
    assert drawn.count("\n") == 1
    assert drawn.count("\r\x1b[K") == 3
    assert drawn.endswith("\r\x1b[Kready\n")


def test_a_download_shows_bytes_of_bytes_the_rate_and_the_time_left() -> None:
    event = {"text": "m.gguf", "done": 1 << 30, "total": 4 << 30, "rate": float(32 << 20)}
    stream = Tty()
    ProgressBar(stream).show(event)
    shown = "[######..................]  25 %  1.0 GiB of 4.0 GiB, 32.0 MiB/s, 96 s left  m…"
    assert stream.getvalue() == f"\r\x1b[K{shown}"
    lines = io.StringIO()
    with ProgressBar(lines) as progress:
        for done in range(101):
            progress.show({"text": "m.gguf", "done": done, "total": 100})
    assert len(lines.getvalue().splitlines()) == 11
    assert lines.getvalue().startswith("  0%  m.gguf, 0 B of 100 B\n")


def test_numbers_in_a_text_do_not_make_lines_of_their_own() -> None:
    stream = io.StringIO()
    with ProgressBar(stream) as progress:
        for done in range(78):
            progress.show({"text": f"downloading: {done} MB of 77 MB", "progress": done / 770})
        progress.show({"text": "unpacking", "progress": 0.1})
    assert stream.getvalue().splitlines() == [
        "  0%  downloading: 0 MB of 77 MB",
        " 10%  downloading: 77 MB of 77 MB",
        " 10%  unpacking",
    ]
