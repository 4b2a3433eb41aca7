"""The verdict of the leader's door on one request: what of it, if anything, llama-server gets. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from leader.door.bodies.beginnings import of_chat, of_infill, of_prompt
from leader.door.bodies.chat_fields import CHAT_NAMES, MOST_TEXT, Chat
from leader.door.bodies.fields import Dropped
from leader.door.bodies.json_bodies import MOST_BYTES, read_object, written
from leader.door.bodies.prompt_fields import (
    COMPLETION_NAMES,
    DETOKENIZE_NAMES,
    EMBEDDING_NAMES,
    INFILL_NAMES,
    RERANK_NAMES,
    TOKENIZE_NAMES,
    Prompts,
)
from leader.door.bodies.sampling_fields import MOST_ANSWERS
from leader.door.dialects import anthropic_messages, openai_responses
from leader.door.dialects.error_shapes import shape_of
from leader.door.orders import (
    AnswerForm,
    EngineFacts,
    Order,
    OwnAnswer,
    Refused,
    SlotUse,
    Unacceptable,
    Verdict,
)
from leader.door.other_uses import why_not_given
from leader.door.routes import ROUTES, Purpose, Route

MOST_WRITTEN = 64 << 20
"""Of all bodies of one request together: each answer to it has one of its own."""

_NO_SUCH_PATH = "there is no such path here: OpenAI's API is under /v1, as /v1/chat/completions"


def judge(method: str, target: bytes, content: bytes, engine: EngineFacts) -> Verdict:
    """What becomes of a request with this method, target as sent and body. It never raises."""
    path, _, query = target.partition(b"?")
    shape = shape_of(path.decode("latin-1"))
    route = ROUTES.get(path)
    if route is None:
        return Refused(404, "not_found", _NO_SUCH_PATH, shape=shape)
    if method not in route.methods:
        text = f"this path takes {route.method} alone"
        return Refused(405, "method_not_allowed", text, shape=shape, allow=route.methods)
    dropped = Dropped()
    _drop_query(query, dropped)
    if route.asked is Purpose.OWN:
        return OwnAnswer(path[1:].decode())
    if route.asked is Purpose.LOOK:
        return Order("GET", route.engine_path, (), SlotUse.NONE, dropped=tuple(dropped.names))
    if not_given := why_not_given(route.asked, engine):
        return Refused(501, "not_served", not_given, shape=shape)
    if len(content) > MOST_BYTES:
        return Refused(413, "too_large", f"a request may have {MOST_BYTES} bytes", shape=shape)
    try:
        verdict = _Judge(route, engine, dropped).verdict(read_object(content))
    except Unacceptable as error:
        return Refused(400, "invalid_value", str(error), error.field or None, shape)
    except RecursionError:
        return Refused(400, "invalid_value", "the body is nested too deeply", shape=shape)
    if isinstance(verdict, Refused):
        return verdict
    return replace(verdict, shape=shape, dropped=tuple(dropped.names))


def bodies_fields(engine_path: str) -> frozenset[str]:
    """The names of all fields that a body for this path of the engine may hold."""
    return _NAMES.get(engine_path, CHAT_NAMES) - {"n", "n_cmpl"}


def _drop_query(query: bytes, dropped: Dropped) -> None:
    for part in query[:4096].split(b"&"):
        name = part.partition(b"=")[0]
        if name:
            dropped.add("?" + name.decode("latin-1"))


class _Judge:
    """Writes the order that a body asks for."""

    def __init__(self, route: Route, engine: EngineFacts, dropped: Dropped) -> None:
        self._route = route
        self._engine = engine
        self._dropped = dropped
        self._prompts = Prompts(engine, dropped)
        self._chat = Chat(engine, dropped)

    def verdict(self, given: dict[str, Any]) -> Order | Refused:
        asked = self._route.asked
        single = {
            Purpose.EMBEDDINGS: (self._prompts.embeddings, SlotUse.ENGINES),
            Purpose.RERANK: (self._prompts.rerank, SlotUse.ENGINES),
            Purpose.TOKENIZE: (self._prompts.tokenize, SlotUse.NONE),
            Purpose.DETOKENIZE: (self._prompts.detokenize, SlotUse.NONE),
        }.get(asked)
        if single is not None:
            build, slot_use = single
            return self._plain(build(given), slot_use, self._prompts.chat.media)
        if asked in (Purpose.CHAT, Purpose.CHAT_TEXT):
            return self._of_chat(given)
        if asked in (Purpose.TEXT, Purpose.NATIVE):
            return self._of_prompts(given)
        if asked is Purpose.INFILL:
            body = self._prompts.infill(given)
            return self._answers([body], AnswerForm.NATIVE, 0, [of_infill(body)])
        return self._translated(given)

    def _plain(self, body: dict[str, Any], slot_use: SlotUse, media: int) -> Order:
        encoded = self._encoded(body, media)
        return Order("POST", self._route.engine_path, (encoded,), slot_use, digest=self._digest(body))

    def _digest(self, body: dict[str, Any]) -> bytes:
        """Of what is asked, with what is only about how the answer is told left out."""
        asked = {name: value for name, value in body.items() if name not in _HOW_TOLD}
        return sha256(self._route.engine_path.encode() + written(asked)).digest()

    def _encoded(self, body: dict[str, Any], media: int) -> bytes:
        encoded = written(body)
        if len(encoded) - media > MOST_TEXT:
            raise Unacceptable("", f"a request may have {MOST_TEXT} bytes of text in all")
        return encoded

    # --- answers

    def _of_chat(self, given: dict[str, Any]) -> Order:
        body = self._chat.body(given)
        if self._route.asked is Purpose.CHAT_TEXT:
            for name in _OF_ANSWERS:
                body.pop(name, None)
            return self._plain(body, SlotUse.NONE, self._chat.media)
        return self._answers([body], AnswerForm.CHAT, self._chat.media, [of_chat(body)])

    def _of_prompts(self, given: dict[str, Any]) -> Order:
        body = self._prompts.completion(given)
        prompts = body.pop("prompt")
        form = AnswerForm.TEXT if self._route.asked is Purpose.TEXT else AnswerForm.NATIVE
        bodies = [{**body, "prompt": prompt} for prompt in prompts]
        return self._answers(bodies, form, self._prompts.chat.media, [of_prompt(each) for each in prompts])

    def _answers(
        self, asked: list[dict[str, Any]], form: AnswerForm, media: int, beginnings: list[tuple[int, ...]]
    ) -> Order:
        """An order with a body for each answer: to the first prompt all, then to the next."""
        times = _times(asked[0])
        if times * len(asked) > MOST_ANSWERS:
            raise Unacceptable("n", f"a request may ask for {MOST_ANSWERS} answers in all")
        singles = [_single(body, turn) for body in asked for turn in range(times)]
        bodies = [self._encoded(body, media) for body in singles[:1]]
        if len(bodies[0]) * len(singles) > MOST_WRITTEN + len(bodies[0]) and len(asked) == 1:
            raise Unacceptable("n", "so many answers to so long a prompt cannot be had at a time")
        bodies += [self._encoded(body, media) for body in singles[1:]]
        if sum(map(len, bodies)) > max(MOST_WRITTEN, len(bodies[0])):
            raise Unacceptable("", f"a request may have {MOST_WRITTEN} bytes, all its prompts counted")
        streaming = bool(singles[0].get("stream"))
        return Order(
            "POST",
            self._route.engine_path,
            tuple(bodies),
            SlotUse.PICKED,
            form if len(bodies) > 1 else AnswerForm.AS_IS,
            streaming=streaming,
            beginnings=tuple(each for each in beginnings for _ in range(times)),
            digest=sha256(b"".join(self._digest(body) for body in asked)).digest(),
            wants_usage=streaming and bool(singles[0].get("stream_options", {}).get("include_usage")),
        )

    # --- other dialects

    def _translated(self, given: dict[str, Any]) -> Order | Refused:
        """A chat in another dialect. What the translation makes of it is bounded as any chat."""
        asked = self._route.asked
        form, dialect = _FORMS[asked], _DIALECTS[asked]
        chat, repeats = dialect.to_chat(given)
        for name in dialect.left_out(given):
            self._dropped.add(name)
        try:
            body = self._chat.body(chat)
        except Unacceptable as error:
            raise Unacceptable(_clients_name(error.field, dialect.NAMES_IN_CHAT), error.message) from error
        body = _single(body, 0)
        if asked in (Purpose.COUNT_MESSAGES, Purpose.COUNT_RESPONSES):
            for name in _OF_ANSWERS:
                body.pop(name, None)
            return replace(self._plain(body, SlotUse.NONE, self._chat.media), form=form)
        streaming = bool(body.get("stream"))
        if streaming:
            body |= {"stream_options": {"include_usage": True}, "timings_per_token": False}
        return Order(
            "POST",
            self._route.engine_path,
            (self._encoded(body, self._chat.media),),
            SlotUse.PICKED,
            form,
            streaming=streaming,
            beginnings=(of_chat(body),),
            digest=self._digest(body),
            repeats=repeats,
        )


_FORMS = {
    Purpose.MESSAGES: AnswerForm.MESSAGES,
    Purpose.COUNT_MESSAGES: AnswerForm.COUNT_MESSAGES,
    Purpose.RESPONSES: AnswerForm.RESPONSES,
    # The engine counts for both of OpenAI's APIs in the words of the Responses API.
    Purpose.COUNT_RESPONSES: AnswerForm.AS_IS,
}

_DIALECTS: Mapping[Purpose, Any] = {
    Purpose.MESSAGES: anthropic_messages,
    Purpose.COUNT_MESSAGES: anthropic_messages,
    Purpose.RESPONSES: openai_responses,
    Purpose.COUNT_RESPONSES: openai_responses,
}

_HOW_TOLD = frozenset(
    (
        *("stream", "stream_options", "n_probs", "logprobs", "top_logprobs", "post_sampling_probs"),
        *("timings_per_token", "verbose", "return_tokens", "return_progress"),
    )
)
"""What changes how an answer is told, and nothing of what the engine is asked."""

_NAMES = {
    "/v1/completions": COMPLETION_NAMES,
    "/completion": COMPLETION_NAMES,
    "/infill": INFILL_NAMES,
    "/embeddings": EMBEDDING_NAMES,
    "/v1/embeddings": EMBEDDING_NAMES,
    "/v1/rerank": RERANK_NAMES,
    "/tokenize": TOKENIZE_NAMES,
    "/detokenize": DETOKENIZE_NAMES,
}

_OF_ANSWERS = ("n", "n_cmpl", "stream", "stream_options", "cache_prompt")
"""What says nothing to a path that gives no answer of the model's."""


def _clients_name(field: str, names_in_chat: Mapping[str, str]) -> str:
    """What the client calls a field of the chat that its request became; its messages were others."""
    first, dot, rest = field.partition(".")
    name = next((name for name, in_chat in names_in_chat.items() if in_chat == first), first)
    return name if first == "messages" else name + dot + rest


def _times(body: dict[str, Any]) -> int:
    return int(body.get("n_cmpl", body.get("n", 1)))


def _single(body: dict[str, Any], turn: int) -> dict[str, Any]:
    """The body of one of several answers: each has the next seed, as the engine's own would."""
    single = {name: value for name, value in body.items() if name not in ("n", "n_cmpl")}
    if single.get("seed", -1) != -1:
        seed = (single["seed"] + turn) % 2**32
        single["seed"] = -1 if seed == 2**32 - 1 else seed
    return single
