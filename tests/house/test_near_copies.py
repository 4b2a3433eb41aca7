"""The count of near-copies, and the rule that it may only shrink."""

from pathlib import Path

import pytest

from tests.house import near_copies
from tests.house.tree import sources

MOST = 1
"""So many there are in the sources: lower it when one goes."""

PASSAGE = """
def {name}(path, text):
    \"\"\"{doc}\"\"\"
    target = path.with_name({suffix})  # a remark
    with target.open("w") as file:
        file.write(text)
        file.flush()
        sync(file.fileno())
    target.replace({end})
"""


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(near_copies, "name", lambda path: path.name)
    return tmp_path


def _found(folder: Path, *sources: str) -> list[str]:
    for number, source in enumerate(sources):
        (folder / f"{number}.py").write_text(source)
    return [str(copy) for copy in near_copies.near_copies(sorted(folder.iterdir()))]


def test_there_are_no_more_near_copies_than_there_were() -> None:
    found = near_copies.near_copies(sources())
    assert len(found) == MOST, "\n".join(map(str, found))


def test_a_passage_under_other_names_is_a_near_copy(copies: Path) -> None:
    one = PASSAGE.format(name="write", doc="One.", suffix='".new"', end="path")
    other = PASSAGE.format(name="put", doc="Another.", suffix='"x"', end="\n        path\n    ")
    assert _found(copies, one, other) == ["6 statements: 0.py:4 and 1.py:4"]


def test_a_passage_of_like_statements_about_other_things_is_none(copies: Path) -> None:
    statements = ["{0} = {1}({2})", "{3}({4})", "if {0}.{5}:", "    {6}({0})", "{7}.{8}({9})", "return {0}"]
    source = "def f():\n" + "".join(f"    {statement}\n" for statement in statements)
    one, other = ([f"{letter}{number}" for number in range(10)] for letter in "ab")
    assert _found(copies, source.format(*one), source.format(*other)) == []


def test_declarations_are_alike_in_shape_only(copies: Path) -> None:
    fields = "class A:\n" + "".join(f"    field{number}: int\n" for number in range(9))
    imports = "".join(f"from a import b{number}\n" for number in range(9))
    kept = "def f(self):\n" + "".join(f"    self.a{number} = b\n" for number in range(9))
    assert _found(copies, fields, fields, imports, imports, kept, kept) == []


def test_a_row_of_like_statements_is_no_copy_of_itself(copies: Path) -> None:
    assert _found(copies, "say(1)\n" * 9) == []
