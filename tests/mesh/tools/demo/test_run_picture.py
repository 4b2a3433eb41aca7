"""The picture of a run is valid, says what happened, and is no larger than it may be."""

from dataclasses import replace
from xml.etree import ElementTree

from mesh.tools.demo.recorded_run import AnswerPiece, Share
from mesh.tools.demo.run_picture import COLOURS, PlacedText, draw, wrap
from tests.mesh.tools.demo.runs import DISTURBED, RUN

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_it_says_what_happened() -> None:
    said = texts(draw(RUN))
    assert "kill -9 alpha, the leader: 1.4 s" in said
    assert "A good team is built" in said
    assert "identical to the undisturbed answer" in said
    assert "alpha lends 81 MB, bravo lends 113 MB, charlie lends 113 MB" in said
    assert {"0-3, leads", "4-12", "13-29", "killed", "0-15, leads", "16-29"} <= set(said)


def test_those_who_do_not_see_it_are_told() -> None:
    label = ElementTree.fromstring(draw(RUN)).attrib["aria-label"]
    assert "alpha, the leader, is killed in the middle of a sentence" in label
    assert "identical to the undisturbed answer" in label


def test_an_answer_that_differs_is_not_called_identical() -> None:
    svg = draw(replace(RUN, disturbed=DISTURBED[:-1]))
    assert "! differs from the undisturbed answer after 58 characters" in texts(svg)
    assert "identical" not in svg


def test_what_a_model_says_is_no_markup() -> None:
    said = 'team </text><script>"&\x00'
    svg = draw(replace(RUN, question=said, model=said, disturbed=[*DISTURBED, AnswerPiece(3.0, f" {said}")]))
    assert "script" not in {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(svg).iter()}
    assert '> team </text><script>"&?' in "\n> ".join(texts(svg))


def test_every_element_is_within_the_picture() -> None:
    root = ElementTree.fromstring(draw(RUN))
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    for element in root.iter():
        if element.tag in (f"{SVG}text", f"{SVG}rect"):
            length = float(element.get("textLength", element.get("width", "0")))
            assert 0 <= float(element.attrib["x"]) <= float(element.attrib["x"]) + length <= width
            assert 0 <= float(element.attrib["y"]) <= height


def test_a_long_answer_of_many_tokens_is_still_small() -> None:
    pieces = [AnswerPiece(0.05 * number, " <word>") for number in range(160)]
    svg = draw(replace(RUN, undisturbed=pieces, disturbed=pieces, killed_after=80, killed_seconds=4.0))
    assert len(svg.encode()) < 40_000


def test_machines_without_layers_are_drawn_too() -> None:
    before = [Share("alpha", None, False, 30_000_000, True), *RUN.before[1:]]
    said = texts(draw(replace(RUN, before=before)))
    assert "leads" in said
    assert "SmolLM2, 98 MB, split over two" in said


def test_lines_are_wrapped_at_words_and_a_longer_word_is_cut() -> None:
    words = [("said", "A"), ("said", "good"), ("kill", "kill"), ("rest", "team"), ("rest", "collaborates")]
    assert wrap(words, 11) == [
        [PlacedText("said", "A good", 0), PlacedText("kill", "kill", 7)],
        [PlacedText("rest", "team", 0)],
        [PlacedText("rest", "collaborate", 0)],
    ]


def test_the_part_after_the_kill_has_a_colour_of_its_own() -> None:
    root = ElementTree.fromstring(draw(RUN))
    coloured = {element.text: element.get("fill") for element in root.iter(f"{SVG}text")}
    assert coloured["A good team is built"] == COLOURS["said"]
    assert coloured["on trust, and each of its members may go."] == COLOURS["rest"]
