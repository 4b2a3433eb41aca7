"""Lines of progress, by a clock that the test moves."""

from mesh.hub.downloader.progress_lines import ProgressLines
from mesh.hub.hub_lines import Line, ProgressLine


class Told:
    """The lines, and the time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[ProgressLine] = []
        self.progress = ProgressLines(self._write, lambda: self.now)

    def _write(self, line: Line) -> None:
        self.lines.append(line["progress"])


def test_at_most_five_lines_a_second_tell_of_bytes() -> None:
    told = Told()
    told.progress.begin(1000, {})
    for step in range(1000):
        told.now = 100 + step / 100
        told.progress.place("a", step + 1)
    assert 40 <= len(told.lines) <= 51


def test_a_line_counts_all_files_and_what_was_there() -> None:
    told = Told()
    told.progress.begin(1000, {"a": 300, "b": 50})
    told.progress.place("b", 200)
    told.now += 1
    told.progress.place("b", 150)  # its server begins anew
    told.progress.end()
    assert [(one["done"], one["total"], one["text"]) for one in told.lines] == [
        (500, 1000, "b"),
        (450, 1000, "b"),
        (450, 1000, "b"),
    ]
    assert told.lines[1]["rate"] == 0.0


def test_a_text_is_told_at_once_and_more_can_be_expected() -> None:
    told = Told()
    told.progress.expect(10)
    told.progress.place("a", 5)
    told.progress.tell("the hub asks for patience")
    told.progress.expect(10)
    told.progress.tell("again")
    assert [(one["text"], one["total"]) for one in told.lines] == [
        ("a", 10),
        ("the hub asks for patience", 10),
        ("again", 20),
    ]
