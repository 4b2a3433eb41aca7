"""Prompts as the engine takes them: text, ids of tokens, both mixed, images with them, several. Pure."""

from collections.abc import Mapping
from typing import Any

from leader.door.bodies.chat_fields import MOST_PARTS, MOST_TEXT, Chat
from leader.door.bodies.fields import (
    INT32,
    Dropped,
    Rule,
    a_list,
    an_object,
    are_tokens,
    boolean,
    one_of,
    rebuilt,
    text,
    texts,
    whole,
)
from leader.door.bodies.json_bodies import written
from leader.door.bodies.sampling_fields import ENGINES_OWN, MOST_ANSWERS, NATIVE, settled
from leader.door.orders import EngineFacts, Unacceptable

MOST_IDS = 1 << 20
MOST_INPUTS = 2048
"""Texts to embed at a time, as OpenAI bounds them; documents to rank."""
MOST_FILES = 1024
MOST_PIECED = 524_288
"""Bytes of what is tokenized with its pieces: the engine takes some three hundred of memory for each."""

_TEXT = text(MOST_TEXT)


class Prompts:
    """Writes bodies with prompts anew."""

    def __init__(self, facts: EngineFacts, dropped: Dropped) -> None:
        self._facts = facts
        self._dropped = dropped
        self.chat = Chat(facts, dropped)
        """Counts the media; embeddings may be of a chat's parts."""

    def completion(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of ``/completion`` and ``/v1/completions``: ``prompt`` becomes a list of single ones."""
        rules = {**NATIVE, **ENGINES_OWN, "prompt": self._several}
        return settled(self._built(given, rules, "prompt"), self._facts)

    def infill(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of ``/infill``."""
        rules: dict[str, Rule] = {
            **NATIVE,
            **ENGINES_OWN,
            "prompt": _TEXT,
            "input_prefix": _TEXT,
            "input_suffix": _TEXT,
            "input_extra": self._files,
        }
        built = self._built(given, rules, "input_prefix")
        if "input_suffix" not in built:
            raise Unacceptable("input_suffix", "is required")
        return settled(built, self._facts)

    def embeddings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of ``/v1/embeddings`` and the engine's own."""
        rules: dict[str, Rule] = {
            "model": text(512),
            "input": self._inputs,
            "content": self._inputs,
            "encoding_format": one_of("float", "base64"),
            "embd_normalize": whole(-1, 64),
        }
        return self._built(given, rules, "content" if given.get("input") is None else "input")

    def rerank(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of reranking: Jina's ``documents``, or TEI's ``texts``."""
        rules: dict[str, Rule] = {
            "model": text(512),
            "query": _TEXT,
            "documents": texts(MOST_INPUTS, MOST_TEXT),
            "texts": texts(MOST_INPUTS, MOST_TEXT),
            "top_n": whole(1, INT32),
            "return_text": boolean,
        }
        built = self._built(given, rules, "query")
        if not built.get("documents") and not built.get("texts"):
            raise Unacceptable("documents", "must be a list of strings that is not empty")
        return built

    def tokenize(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of ``/tokenize``."""
        rules: dict[str, Rule] = {
            "content": self._mixed,
            "add_special": boolean,
            "parse_special": boolean,
            "with_pieces": boolean,
        }
        built = rebuilt(given, rules, self._facts, self._dropped)
        if built.get("with_pieces") and len(written(built.get("content"), "content")) > MOST_PIECED:
            raise Unacceptable("content", f"must have at most {MOST_PIECED} bytes to be told with_pieces")
        return built

    def detokenize(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of ``/detokenize``."""
        return rebuilt(given, {"tokens": self._ids}, self._facts, self._dropped)

    def _built(self, given: Mapping[str, Any], rules: Mapping[str, Rule], needed: str) -> dict[str, Any]:
        built = rebuilt(given, rules, self._facts, self._dropped)
        if needed not in built:
            raise Unacceptable(needed, "is required")
        return built

    # --- prompts

    def _several(self, value: Any, field: str, facts: EngineFacts) -> list[Any]:
        """The engine takes a list without numbers for several prompts."""
        if not isinstance(value, list) or int in set(map(type, value)):
            return [self._one(value, field)]
        if not value:
            raise Unacceptable(field, "must not be empty")
        return [
            self._one(each, f"{field}.{at}") for at, each in enumerate(a_list(value, field, MOST_ANSWERS))
        ]

    def _one(self, value: Any, field: str) -> Any:
        if isinstance(value, dict):
            rules: dict[str, Rule] = {"prompt_string": self._mixed, "multimodal_data": self._media}
            built = rebuilt(value, rules, self._facts, self._dropped, field)
            if "prompt_string" not in built:
                raise Unacceptable(f"{field}.prompt_string", "is required")
            return built
        if value == []:
            raise Unacceptable(field, "must not be empty")
        return self._mixed(value, field, self._facts)

    def _mixed(self, value: Any, field: str, facts: EngineFacts) -> Any:
        if isinstance(value, str):
            return _TEXT(value, field, facts)
        items = a_list(value, field, MOST_IDS)
        if items and not are_tokens(items):
            if not set(map(type, items)) <= {int, str}:
                raise Unacceptable(field, "must be text, ids of tokens, or a list of both")
            ids = [one for one in items if type(one) is int]
            if ids and not are_tokens(ids):
                raise Unacceptable(field, "holds a number that is no id of a token")
        return items

    def _ids(self, value: Any, field: str, facts: EngineFacts) -> Any:
        items = a_list(value, field, MOST_IDS)
        known = facts.vocabulary or INT32 + 1
        if items and not (are_tokens(items) and max(items) < known):
            raise Unacceptable(field, "must be ids of tokens")
        return items

    def _media(self, value: Any, field: str, facts: EngineFacts) -> list[str]:
        items = a_list(value, field, MOST_PARTS)
        return [self.chat.media_data(each, f"{field}.{at}") for at, each in enumerate(items)]

    def _inputs(self, value: Any, field: str, facts: EngineFacts) -> Any:
        if not isinstance(value, list) or int in set(map(type, value)):
            return self._embedded(value, field)
        if not value:
            raise Unacceptable(field, "must not be empty")
        return [
            self._embedded(one, f"{field}.{at}") for at, one in enumerate(a_list(value, field, MOST_INPUTS))
        ]

    def _embedded(self, value: Any, field: str) -> Any:
        if isinstance(value, dict) and value.get("content") is not None:
            return rebuilt(value, {"content": self.chat.parts}, self._facts, self._dropped, field)
        return self._one(value, field)

    def _files(self, value: Any, field: str, facts: EngineFacts) -> list[Any]:
        built = []
        for at, each in enumerate(a_list(value, field, MOST_FILES)):
            given = an_object(each, f"{field}.{at}")
            one = rebuilt(given, {"text": _TEXT, "filename": text(4096)}, facts, self._dropped, field, at)
            if "text" not in one:
                raise Unacceptable(f"{field}.{at}.text", "is required")
            built.append(one)
        return built


COMPLETION_NAMES = frozenset({*NATIVE, "prompt"})
INFILL_NAMES = frozenset({*NATIVE, "prompt", "input_prefix", "input_suffix", "input_extra"})
EMBEDDING_NAMES = frozenset({"model", "input", "content", "encoding_format", "embd_normalize"})
RERANK_NAMES = frozenset({"model", "query", "documents", "texts", "top_n", "return_text"})
TOKENIZE_NAMES = frozenset({"content", "add_special", "parse_special", "with_pieces"})
DETOKENIZE_NAMES = frozenset({"tokens"})
