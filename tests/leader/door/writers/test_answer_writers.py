"""Each form has its writer, and all are alike."""

import pytest

from leader.door.orders import AnswerForm, Order, SlotUse
from leader.door.writers.answer_writers import AnswerWriter, CountWriter, writer_for
from leader.door.writers.merged_answers import ChoicesWriter, ListWriter
from leader.door.writers.messages_writer import MessagesWriter
from leader.door.writers.responses_writer import ResponsesWriter


def _order(form: AnswerForm) -> Order:
    return Order("POST", "/v1/chat/completions", (b"{}",), SlotUse.PICKED, form)


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (AnswerForm.CHAT, ChoicesWriter),
        (AnswerForm.TEXT, ChoicesWriter),
        (AnswerForm.NATIVE, ListWriter),
        (AnswerForm.MESSAGES, MessagesWriter),
        (AnswerForm.RESPONSES, ResponsesWriter),
        (AnswerForm.COUNT_MESSAGES, CountWriter),
        (AnswerForm.AS_IS, type(None)),
    ],
)
def test_each_form_has_its_writer(form: AnswerForm, kind: type) -> None:
    assert type(writer_for(_order(form))) is kind


def test_every_form_is_decided() -> None:
    assert all(form is AnswerForm.AS_IS or writer_for(_order(form)) for form in AnswerForm)


def test_two_orders_share_no_writer() -> None:
    order = _order(AnswerForm.CHAT)
    assert writer_for(order) is not writer_for(order)


def test_a_count_is_told_whole() -> None:
    writer: AnswerWriter = CountWriter()
    assert writer.whole([{"input_tokens": 3, "object": "x"}]) == {"input_tokens": 3}
    assert writer.event(0, {}) + writer.ended(0) + writer.end() == b""
