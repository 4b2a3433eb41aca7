"""Has what was asked judged: a small request at once, a large one in a process of its own."""

import pickle
from typing import Final

from leader.door.orders import EngineFacts, Refused, Verdict
from leader.door.verdict import judge
from mesh.gateway.resuming.resume_request import MAX_RESUME_REQUEST, ResumeRequest, decode_resume_request
from mesh.serving.asking.apart import SMALL, Apart

_UNREADABLE: Final = Refused(413, "request_too_large", "the request takes too much memory or time to be read")


class Judging:
    """Reads requests and judges them."""

    def __init__(self) -> None:
        self._apart = Apart()

    async def judge(self, method: str, target: bytes, content: bytes, engine: EngineFacts) -> Verdict:
        """Say what becomes of a request; `leader.door.verdict.judge` decides."""
        if len(content) <= SMALL:
            return judge(method, target, content, engine)
        answer = await self._apart.run("leader.door", pickle.dumps((method, target, content, engine)))
        verdict: Verdict = _UNREADABLE if answer is None else pickle.loads(answer)
        return verdict

    async def read_resume_request(self, content: bytes) -> tuple[ResumeRequest, bytes]:
        """Read what a gateway sends to have an answer taken up; with it the client's own request, to judge.

        Raises ``ValueError`` where it makes no sense.
        """
        if len(content) > MAX_RESUME_REQUEST:
            raise ValueError(f"the request has more than {MAX_RESUME_REQUEST} bytes")
        if len(content) <= SMALL:
            request = decode_resume_request(content)
            return request, request.question()
        answer = await self._apart.run("mesh.serving.asking.resume_reader", content)
        if answer is None:
            raise ValueError(_UNREADABLE.message)
        result: tuple[ResumeRequest, bytes] | str = pickle.loads(answer)
        if isinstance(result, str):
            raise ValueError(result)
        return result
