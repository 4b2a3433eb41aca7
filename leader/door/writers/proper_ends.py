"""How a whole stream ends, by its path. Pure.

A stopped llama-server ends its streams in good HTTP order, too. Nothing but the missing last event tells such
a stream from a whole answer.
"""

from typing import Final

_DONE: Final = ("/v1/chat/completions", "/chat/completions", "/v1/completions")
_STOP: Final = ("/completion", "/completions", "/infill")
_NAMED: Final = {
    "/v1/messages": (b"message_stop",),
    "/v1/responses": (b"response.completed", b"response.incomplete", b"response.failed"),
    "/responses": (b"response.completed", b"response.incomplete", b"response.failed"),
}
_ERRORS: Final = (b'{"error":', b'{"type":"error"')


def ends_properly(path: str, last: bytes) -> bool:
    """Whether a stream of this path may end with this event; of other paths any event is the last.

    An error is a proper end as well: the client has been told. What an event quotes counts for nothing, as
    JSON escapes the quotation marks of a text.
    """
    name, data = _read(last)
    if name == b"error" or data.startswith(_ERRORS):
        return True
    if path in _DONE:
        return data == b"[DONE]"
    if path in _STOP:
        return b'"stop":true' in data
    return path not in _NAMED or name in _NAMED[path]


def _read(event: bytes) -> tuple[bytes, bytes]:
    """Return the name and the data of an event."""
    fields = {b"event": b"", b"data": b""}
    for line in event.splitlines():
        field, _, value = line.partition(b":")
        if field in fields:
            fields[field] += value.removeprefix(b" ")
    return fields[b"event"], fields[b"data"]
