"""A run of the demo as it might have been."""

from dataclasses import replace

from mesh.tools.demo.recorded_run import AnswerPiece, RecordedRun, Share

WORDS = "A good team is built on trust, and each of its members may go."


def pieces(text: str, *seconds: float) -> list[AnswerPiece]:
    """The words of a text, with the blank before each, at these times."""
    words = text.split()
    texts = [words[0], *(f" {word}" for word in words[1:])]
    return [AnswerPiece(at, one) for at, one in zip(seconds, texts, strict=True)]


UNDISTURBED = pieces(WORDS, *(0.1 * number for number in range(1, 15)))
DISTURBED = [
    piece if number < 6 else replace(piece, seconds=piece.seconds + 1.25)
    for number, piece in enumerate(UNDISTURBED)
]

RUN = RecordedRun(
    model="SmolLM2",
    model_bytes=98_000_000,
    question="What makes a good team?",
    gateway="bravo",
    lent={"alpha": 81_000_000, "bravo": 113_000_000, "charlie": 113_000_000},
    before=[
        Share("alpha", (0, 3), False, 80_000_000, True),
        Share("bravo", (4, 12), False, 47_000_000, False),
        Share("charlie", (13, 29), True, 113_000_000, False),
    ],
    after=[
        Share("charlie", (0, 15), False, 112_000_000, True),
        Share("bravo", (16, 29), True, 105_000_000, False),
    ],
    first_leader="alpha",
    second_leader="charlie",
    undisturbed=UNDISTURBED,
    disturbed=DISTURBED,
    killed_after=5,
    killed_seconds=0.5,
    timings={"join": 2.34567, "serve": 1.5},
)
