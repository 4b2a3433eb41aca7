import socket
import threading

from mesh.cli.chat import answer_stream
from mesh.cli.chat.answer_events import (
    BROKEN_OFF,
    GATEWAY_GONE,
    AnswerFinished,
    AnswerText,
    AskFailed,
    NothingCame,
    StreamOpened,
    TokensCounted,
)
from mesh.cli.chat.answer_stream import AnswerStream
from tests.mesh.cli.chat.scripted_gateway import Part, ScriptedGateway, chunk, head, refused, whole

BODY = {"messages": [{"role": "user", "content": "Hi"}]}


def events(*answer: Part) -> list[object]:
    with ScriptedGateway(answer) as gateway:
        return list(AnswerStream(gateway.api, BODY).events())


def test_an_answer_comes_as_events_and_the_request_arrives_whole() -> None:
    with ScriptedGateway(whole("a", "b")) as gateway:
        got = list(AnswerStream(gateway.api, BODY).events())
    assert got == [StreamOpened(), AnswerText("a"), AnswerText("b"), AnswerFinished("stop"), TokensCounted(2)]
    assert gateway.asked == [BODY]


def test_silence_is_told_moment_by_moment() -> None:
    go_on = threading.Event()
    with ScriptedGateway([head(), chunk("a"), go_on, chunk("b", finish="stop")]) as gateway:
        stream = AnswerStream(gateway.api, BODY).events()
        assert [next(stream), next(stream), next(stream)] == [StreamOpened(), AnswerText("a"), NothingCame()]
        go_on.set()
        rest = [one for one in stream if one != NothingCame()]
    assert rest == [AnswerText("b"), AnswerFinished("stop")]


def test_hanging_up_is_seen_by_the_gateway() -> None:
    never = threading.Event()
    with ScriptedGateway([head(), chunk("a"), never]) as gateway:
        stream = AnswerStream(gateway.api, BODY)
        events = stream.events()
        next(events)
        stream.close()
        stream.close()
        assert gateway.hung_up.wait(10)


def test_a_refusal_has_its_status_code_and_patience() -> None:
    answer = refused("429 Too Many Requests", "too_many_requests", "16 are answered", "Retry-After: 3")
    assert events(*answer) == [AskFailed(429, "too_many_requests", "16 are answered", 3.0)]
    assert events(head("502 Bad Gateway", kind="text/html"), b"<html>") == [AskFailed(502, "", "<html>")]


def test_a_stream_that_breaks_off_is_told_from_a_whole_one() -> None:
    assert events(head(), chunk("a"))[-1] == AskFailed(0, BROKEN_OFF, "the answer broke off")
    cut = events(head("200 OK", "Transfer-Encoding: chunked"), b"ff\r\n", chunk("a"))[-1]
    assert isinstance(cut, AskFailed)
    assert cut.code == GATEWAY_GONE


def test_a_gateway_that_is_gone_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (failed,) = AnswerStream(f"http://127.0.0.1:{port}/v1", BODY).events()
    assert isinstance(failed, AskFailed)
    assert (failed.code, "refused" in failed.message) == (GATEWAY_GONE, True)


def test_a_request_beyond_all_bounds_is_not_sent() -> None:
    body = {"messages": "x" * answer_stream.MAX_REQUEST}
    (failed,) = AnswerStream("http://127.0.0.1:1/v1", body).events()
    assert isinstance(failed, AskFailed)
    assert failed.status == 413
