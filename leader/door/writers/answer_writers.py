"""Who tells a client what llama-server answered, in the form that the client asked in. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from leader.door.orders import AnswerForm, Order
from leader.door.writers.merged_answers import ChoicesWriter, ListWriter
from leader.door.writers.messages_writer import MessagesWriter, count_of
from leader.door.writers.responses_writer import ResponsesWriter
from leader.door.writers.single_end import SingleEnd


class AnswerWriter(Protocol):
    """Tells the answers of one order: those of a stream by events, or whole ones at once.

    An ``error`` in an answer's stream ends everything: it is told in the client's dialect, and all that comes
    after it is empty.
    """

    def event(self, index: int, value: Mapping[str, Any]) -> bytes:
        """Take one JSON object of the stream that answers body ``index``; return events to send."""

    def ended(self, index: int) -> bytes:
        """Take the proper end of that stream; return events to send."""

    def end(self) -> bytes:
        """Return the last events, when all streams have ended."""

    def whole(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | list[Any]:
        """Return the whole answer, of one whole answer to each body."""


class CountWriter(SingleEnd):
    """The number of tokens of a chat, as Anthropic's API tells it. There are no streams of it."""

    def whole(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the count."""
        return count_of(answers[0])

    def _chunk(self, index: int, value: Mapping[str, Any]) -> bytes:
        return b""

    def _last(self) -> bytes:
        return b""


def writer_for(order: Order) -> AnswerWriter | None:
    """Return a new writer of this order's answer; None where llama-server's bytes are passed on."""
    match order.form:
        case AnswerForm.AS_IS:
            return None
        case AnswerForm.CHAT | AnswerForm.TEXT:
            return ChoicesWriter(order.wants_usage, one_prompt=order.form is AnswerForm.CHAT)
        case AnswerForm.NATIVE:
            return ListWriter()
        case AnswerForm.MESSAGES:
            return MessagesWriter(order.repeats)
        case AnswerForm.RESPONSES:
            return ResponsesWriter(order.repeats)
        case AnswerForm.COUNT_MESSAGES:
            return CountWriter()
