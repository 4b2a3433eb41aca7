"""What was said so far, and what is sent for the next answer. Pure."""

from typing import Any, NamedTuple

CUT_MARK = " [...]"
"""What ends an answer that was cut, as the model reads it: it must not take it for a whole one."""


class ChatTurn(NamedTuple):
    """A prompt and its answer; ``cut``: the person, or a failure, ended it before its end."""

    prompt: str
    answer: str
    cut: bool


class Conversation:
    """The turns of a conversation under a system text, which may be empty."""

    def __init__(self, system: str = "") -> None:
        self.system = system
        self.turns: list[ChatTurn] = []
        self._unanswered: str | None = None

    def request(self, prompt: str, *, again: bool = False) -> dict[str, Any]:
        """Return the body of the request for an answer; ``again``: in place of the last turn's."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self._before(again):
            answer = turn.answer + CUT_MARK if turn.cut else turn.answer
            messages += [{"role": "user", "content": turn.prompt}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": prompt})
        return {
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
        }

    def answered(self, prompt: str, answer: str, *, cut: bool = False, again: bool = False) -> None:
        """Add a turn. One without a word of an answer adds none, but can be asked again."""
        if not answer:
            self._unanswered = None if again else prompt
            return
        self._unanswered = None
        self.turns = [*self._before(again), ChatTurn(prompt, answer, cut)]

    def last_prompt(self) -> tuple[str, bool] | None:
        """Return what to ask again, and whether that replaces the last turn; None before the first."""
        if self._unanswered is not None:
            return self._unanswered, False
        return (self.turns[-1].prompt, True) if self.turns else None

    def forget(self) -> None:
        """Begin anew, under the same system text."""
        self.turns, self._unanswered = [], None

    def _before(self, again: bool) -> list[ChatTurn]:
        return self.turns[:-1] if again else self.turns
