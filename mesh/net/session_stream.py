"""A session as a plain stream."""

from mesh.net.session import Session
from mesh.net.wrapped_stream import WrappedStream


class SessionStream(WrappedStream):
    """A session as a plain stream whose closing closes the session."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.stream)
        self._session = session

    async def aclose(self) -> None:
        await self._session.aclose()
