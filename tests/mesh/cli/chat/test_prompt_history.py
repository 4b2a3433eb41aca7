import json
import stat
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.chat.prompt_history import LONGEST_ENTRY, MOST_ENTRIES, PromptHistory


def test_entries_of_several_lines_come_back_in_order_and_are_for_this_user(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = PromptHistory(path)
    assert history.load() == []
    for entry in ("one", "two\nlines", "日本 \x1b"):
        history.append(entry)
    assert PromptHistory(path).load() == ["one", "two\nlines", "日本 \x1b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_newest_thousand_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f'"{number}"\n' for number in range(MOST_ENTRIES + 5)))
    history = PromptHistory(path)
    assert history.load() == [str(number) for number in range(5, MOST_ENTRIES + 5)]
    assert len(path.read_text().splitlines()) == MOST_ENTRIES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    history.append("x" * (LONGEST_ENTRY + 1))
    assert history.load()[-1] == str(MOST_ENTRIES + 4)
    assert list(tmp_path.iterdir()) == [path]


@given(st.binary(max_size=200))
def test_no_content_of_the_file_keeps_anybody_from_talking(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content + b"\n" + json.dumps("kept").encode() + b"\n")
        file.flush()
        assert PromptHistory(Path(file.name)).load()[-1] == "kept"


def test_a_folder_that_is_not_there_is_no_reason_not_to_talk(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "none" / "history")
    history.append("a")
    assert history.load() == []
