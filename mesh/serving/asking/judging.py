"""Has what was asked read and judged, apart from everything else that this node does."""

from typing import Final

from leader.door.orders import EngineFacts, Refused, Verdict
from leader.door.verdict import judge
from mesh.gateway.resuming.resume_request import MAX_RESUME_REQUEST, ResumeRequest
from mesh.serving.asking.apart import Apart, TooMuch

_UNREADABLE: Final = Refused(413, "request_too_large", "the request takes too much memory or time to be read")


class Judging:
    """Reads requests and judges them; a member's wait for each other."""

    def __init__(self, apart: Apart | None = None) -> None:
        self._apart = apart or Apart()

    async def judge(
        self, member: str, method: str, target: bytes, content: bytes, engine: EngineFacts
    ) -> Verdict:
        """Say what becomes of a member's request; `leader.door.verdict.judge` decides."""
        if not content:
            return judge(method, target, content, engine)
        try:
            verdict: Verdict = await self._apart.ask(member, "judge", method, target, content, engine)
        except TooMuch:
            return _UNREADABLE
        return verdict

    async def read_resume_request(self, member: str, content: bytes) -> tuple[ResumeRequest, bytes]:
        """Read what a gateway sends to have an answer taken up; with it the client's own request, to judge.

        Raises ``ValueError`` where it makes no sense.
        """
        if len(content) > MAX_RESUME_REQUEST:
            raise ValueError(f"the request has more than {MAX_RESUME_REQUEST} bytes")
        try:
            read: tuple[ResumeRequest, bytes] | str = await self._apart.ask(member, "resume", content)
        except TooMuch as error:
            raise ValueError(_UNREADABLE.message) from error
        if isinstance(read, str):
            raise ValueError(read)
        return read

    async def aclose(self) -> None:
        """End what reads."""
        await self._apart.aclose()
