"""Documents tell the truth: what they name exists, what they repeat of the code is current; and are short."""

import ast
import re
from pathlib import Path

import pytest

from mesh.cli.main import COMMANDS
from tests.house.pages import docstring, packages, written
from tests.house.tree import DOCUMENTS, PACKAGES, ROOT, parsed

MOST_COLUMNS = 110
MOST_WORDS = {"ARCHITECTURE.md": 1500}
MOST_WORDS_OF_A_PAGE = 900
"""Of a page of the protocol: two pages on paper. What is made from the code does not count."""
DECISION = ("Context", "Decision", "Consequences", "What would change it")
PAPER = ("State", "Messages", "Invariants", "Timing", "Bounds", "References")
every_document = pytest.mark.parametrize("document", DOCUMENTS)


def _text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def _prose(document: str) -> str:
    """The document without the parts that are made from the code."""
    return re.sub(r"<!-- made from the code.*?<!-- end -->", "", _text(document), flags=re.DOTALL)


def _headings(document: str) -> list[str]:
    outside = re.sub(r"```.*?```", "", _text(document), flags=re.DOTALL)
    return re.findall(r"^#+ (.+)$", outside, re.MULTILINE)


def _anchor(heading: str) -> str:
    """What a heading is linked by."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@every_document
def test_no_line_is_too_long(document: str) -> None:
    lines = enumerate(_text(document).splitlines(), 1)
    assert [number for number, line in lines if len(line) > MOST_COLUMNS] == []


@every_document
def test_links_lead_somewhere(document: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", _text(document), flags=re.DOTALL)):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        path = (ROOT / document).parent / file if file else ROOT / document
        if not path.exists() or (anchor and anchor not in map(_anchor, _headings(_name(path)))):
            broken.append(target)
    assert broken == []


def _name(path: Path) -> str:
    return path.resolve().relative_to(ROOT).as_posix()


def test_every_document_can_be_reached_from_another() -> None:
    linked = {
        _name((ROOT / document).parent / target)
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+\.md)", _text(document))
    }
    assert {one for one in DOCUMENTS if "/" in one} - linked == set()


@every_document
def test_commands_that_a_document_shows_exist(document: str) -> None:
    shown = set(re.findall(r"(?:^|`|join_pool\.sh )(?:mesh )([a-z]+)", _text(document), re.MULTILINE))
    shown |= set(re.findall(r"bash join_pool\.sh ([a-z]+)", _text(document)))
    assert shown - {*COMMANDS, "help"} == set()


@every_document
def test_modules_that_a_document_runs_exist(document: str) -> None:
    run = set(re.findall(r"python -m\s+((?:mesh|simulations|tests)[\w.]*)", _text(document)))
    paths = {module: ROOT.joinpath(*module.split(".")) for module in run}
    missing = [
        module
        for module, path in paths.items()
        if not (path.with_suffix(".py").exists() or (path / "__main__.py").exists())
    ]
    assert missing == []


@every_document
def test_files_that_a_document_names_exist(document: str) -> None:
    named = set(
        re.findall(r"(?<![\w./-])((?:mesh|worker|leader|simulations|tests|docs)/[\w./-]*\w)", _text(document))
    )
    named |= {f"{script}.sh" for script in re.findall(r"bash (\w+)\.sh", _text(document))}
    assert {file for file in named if not (ROOT / file).exists()} == set()


HOP = re.compile(r"^([ |]*(?:\+--> )?)((?:[a-z_]+/)+\w+\.py)( {2,})(\w+(?:\.\w+)?(?:, \w+(?:\.\w+)?)*)$")
"""A line of a diagram: an arrow perhaps, a file, two blanks or more, names with commas."""


def _diagrams() -> list[list[str]]:
    return [
        diagram.splitlines() for diagram in re.findall(r"```\n(.*?)```", _text("docs/flows.md"), re.DOTALL)
    ]


def _hops() -> list[tuple[str, str]]:
    """(file, function) of each hop in docs/flows.md."""
    found = [hop for diagram in _diagrams() for line in diagram if (hop := HOP.match(line))]
    return [(hop[2], name) for hop in found for name in hop[4].split(", ")]


def _column(line: str) -> int | None:
    hop = HOP.match(line)
    return None if hop is None else hop.start(4)


def _defined(file: str) -> set[str]:
    """The functions, classes and methods of a file, methods as Class.method."""
    names = set()
    for node in parsed(ROOT / file).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{one.name}" for one in functions}
    return names


def test_each_hop_of_a_flow_names_functions_in_one_column() -> None:
    places = re.compile(rf"(?:^|[ |])(?:{'|'.join(PACKAGES)})/")
    bare = [
        line for diagram in _diagrams() for line in diagram if places.search(line) and not HOP.match(line)
    ]
    columns = [{_column(line) for line in diagram} - {None} for diagram in _diagrams()]
    assert (bare, [len(one) for one in columns]) == ([], [1] * len(columns))


def test_each_hop_of_a_flow_exists() -> None:
    hops = _hops()
    assert len(hops) > 120
    assert [f"{file} {name}" for file, name in hops if name not in _defined(file)] == []


@every_document
def test_dotted_names_in_a_document_exist(document: str) -> None:
    dotted = re.findall(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`", _text(document))
    assert [name for name in dotted if not _resolves(name)] == []


def _resolves(dotted: str) -> bool:
    """Whether it is a package, a module, or something that a module defines."""
    path = ROOT.joinpath(*dotted.split("."))
    if (path / "__init__.py").exists() or path.with_suffix(".py").exists():
        return True
    module = path.parent.with_suffix(".py")
    return module.exists() and path.name in _defined(module.relative_to(ROOT).as_posix())


def test_each_checker_is_listed_with_what_it_guards() -> None:
    table = (
        _text("docs/internals/simulation.md")
        .partition("## Which checker")[2]
        .partition("## Which mutants")[0]
    )
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"\|([^|]+)\|$", table, re.MULTILINE))))
    modules = {path.stem for path in (ROOT / "simulations/checkers").glob("[a-z]*.py")}
    assert listed - modules == {"clocks"}  # a family of faults, under which all of them are to hold
    assert modules - listed == {"handovers", "setbacks", "verdicts"}  # what the others judge with


@every_document
def test_what_is_made_from_the_code_is_current(document: str) -> None:
    """If not: ``python -m tests.house.pages``."""
    assert written(_text(document)) == _text(document)


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one.startswith("docs/protocol/")])
def test_a_page_of_the_protocol_is_two_pages_and_says_what_a_paper_says(document: str) -> None:
    assert len(re.findall(r"[^\s|]+", _prose(document))) <= MOST_WORDS_OF_A_PAGE
    if not document.endswith("overview.md"):
        assert [part for part in PAPER if not any(part in heading for heading in _headings(document))] == []


def test_the_table_of_inputs_lists_all_of_the_node() -> None:
    table = _text("docs/protocol/node.md").partition("## Inputs")[2].partition("##")[0]
    rows = re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(_inputs())


def _inputs() -> list[str]:
    """The public methods of Node that return effects."""
    [node] = [
        one
        for one in parsed(ROOT / "mesh/protocol/node/node.py").body
        if isinstance(one, ast.ClassDef) and one.name == "Node"
    ]
    return [
        one.name
        for one in node.body
        if isinstance(one, ast.FunctionDef)
        and not one.name.startswith("_")
        and one.returns is not None
        and ast.unparse(one.returns) == "list[Effect]"
    ]


@pytest.mark.parametrize("document", MOST_WORDS)
def test_a_document_is_read_in_the_time_it_promises(document: str) -> None:
    assert len(_text(document).split()) <= MOST_WORDS[document]


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if re.match(r"docs/decisions/\d", one)])
def test_a_decision_says_what_would_change_it(document: str) -> None:
    assert _headings(document)[1:] == list(DECISION)
    assert len(_text(document).split()) <= 350


def test_every_package_of_the_protocol_has_its_page() -> None:
    own = [name.rpartition(".")[2] for name in packages() if name.startswith("mesh.protocol.")]
    missing = [
        name for name in own if f"package mesh.protocol.{name} -->" not in _text(f"docs/protocol/{name}.md")
    ]
    assert missing == []


@pytest.mark.parametrize("package", packages())
def test_a_package_says_what_is_inside_and_what_it_must_not_know(package: str) -> None:
    said = docstring(package)
    assert 4 <= len(said.splitlines()) <= 12
    folder = ROOT.joinpath(*package.split("."))
    inside = {path.stem for path in folder.iterdir()} | set(PACKAGES)
    named = set(re.findall(r"`([a-z_]+)`", said))
    assert named - inside - {name.rpartition(".")[2] for name in packages()} == set()


def test_the_readme_opens_with_the_two_commands_that_set_everything_up() -> None:
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", _text("README.md"), re.DOTALL)
    assert [line.split("#")[0].strip() for line in blocks[0].splitlines()] == [
        "bash join_pool.sh demo",
        "bash test.sh",
    ]
