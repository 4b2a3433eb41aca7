"""The process that reads what others sent answers one question after the other."""

import io
import pickle
from typing import Any

from leader.door.orders import EngineFacts, OwnAnswer
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText, encode_resume_request
from mesh.serving.asking.reader import LENGTH, serve

ENGINE = EngineFacts("tiny", 4096, 2)
RESUMED = ResumeRequest("/completion", {"prompt": "a"}, None, SaidText("", "é", 1), "fast")


def answers(*questions: tuple[str, tuple[Any, ...]]) -> list[Any]:
    asked, said = io.BytesIO(), io.BytesIO()
    for question in questions:
        content = pickle.dumps(question)
        asked.write(LENGTH.pack(len(content)) + content)
    asked.seek(0)
    serve(asked, said)
    said.seek(0)
    found = []
    while head := said.read(LENGTH.size):
        found.append(pickle.loads(said.read(*LENGTH.unpack(head))))
    return found


def test_questions_are_answered_in_their_order() -> None:
    judged = ("judge", ("GET", b"/props", b"", ENGINE))
    resumed = ("resume", (encode_resume_request(RESUMED),))
    assert answers(judged, resumed, judged) == [
        OwnAnswer("props"),
        (RESUMED, RESUMED.question()),
        OwnAnswer("props"),
    ]


def test_what_makes_no_sense_is_answered_in_words() -> None:
    assert answers(("resume", (b"{}",))) == ["the request is not one to take up an answer"]
