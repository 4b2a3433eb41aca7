from typing import Any

from mesh.cli.chat.conversation import CUT_MARK, Conversation


def messages(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in body["messages"]]


def test_a_conversation_is_sent_whole_under_its_system_text() -> None:
    talk = Conversation("Be brief.")
    talk.answered("Hi", "Hello")
    talk.answered("Long?", "Well", cut=True)
    body = talk.request("More")
    assert messages(body) == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Long?"),
        ("assistant", "Well" + CUT_MARK),
        ("user", "More"),
    ]
    assert body["stream"] is True
    talk.system = ""
    assert messages(talk.request("More"))[0] == ("user", "Hi")


def test_asking_again_replaces_the_last_turn_once_there_is_an_answer() -> None:
    talk = Conversation()
    assert talk.last_prompt() is None
    talk.answered("One", "1")
    talk.answered("Two", "2")
    assert talk.last_prompt() == ("Two", True)
    assert messages(talk.request("Two", again=True)) == [("user", "One"), ("assistant", "1"), ("user", "Two")]
    talk.answered("Two", "", again=True)
    assert [turn.answer for turn in talk.turns] == ["1", "2"], "a try in vain takes nothing away"
    talk.answered("Two", "II", again=True)
    assert [turn.answer for turn in talk.turns] == ["1", "II"]


def test_a_prompt_without_an_answer_is_no_turn_but_can_be_asked_again() -> None:
    talk = Conversation()
    talk.answered("One", "1")
    talk.answered("Two", "")
    assert [turn.prompt for turn in talk.turns] == ["One"]
    assert talk.last_prompt() == ("Two", False)
    talk.forget()
    assert talk.last_prompt() is None
    assert messages(talk.request("Hi")) == [("user", "Hi")]
