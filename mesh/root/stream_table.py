"""Which handler answers each kind of stream.

A new kind needs its line in `StreamKind`, a file with its handler, and its line here.
"""

from collections.abc import Callable
from functools import partial

from mesh.admission.admission_server import AdmissionServer
from mesh.member.stay import Stay
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Handler
from mesh.operations.move import handle_move
from mesh.operations.pulling.fetch_stream import FetchServer
from mesh.operations.reasons_stream import handle_reasons
from mesh.operations.usage_stream import handle_usage
from mesh.serving.last_words import handle_words


def stream_handlers(admission_server: AdmissionServer, stay: Callable[[], Stay | None]) -> dict[str, Handler]:
    """Handlers by kind. ``stay`` gives the present one; without it a stream for a member ends at once."""

    fetches = FetchServer()

    def member(handler_of: Callable[[Stay], Handler]) -> Handler:
        async def handle(session: Session) -> None:
            present = stay()
            if present is not None:
                await handler_of(present)(session)

        return handle

    return {
        StreamKind.ADMIT: admission_server.handle,
        StreamKind.REDEEM: admission_server.handle_redeem,
        StreamKind.APPROVE: admission_server.handle_approve,
        StreamKind.GOSSIP: member(lambda stay: stay.driver.messages.handle),
        StreamKind.TUNNEL: member(lambda stay: stay.work.handle),
        StreamKind.API: member(lambda stay: stay.gateway.handle_api),
        StreamKind.RESUME: member(lambda stay: stay.gateway.handle_api),
        StreamKind.MOVE: member(lambda stay: partial(handle_move, stay)),
        StreamKind.COPY: member(lambda stay: stay.copies.handle_piece),
        StreamKind.COPIES: member(lambda stay: stay.copies.handle_ask),
        StreamKind.FETCH: member(lambda stay: partial(fetches.handle, stay)),
        StreamKind.WORDS: member(lambda stay: partial(handle_words, stay.node, stay.work)),
        StreamKind.REASONS: member(lambda stay: partial(handle_reasons, stay)),
        StreamKind.USAGE: member(lambda stay: partial(handle_usage, stay)),
    }
