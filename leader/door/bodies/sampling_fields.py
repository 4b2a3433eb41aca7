"""The fields of any answer that llama-server's schema of completions knows, with what becomes of each. Pure.

Where the engine takes a value beyond its bounds as the nearest within, so does the door; where it refuses
one, the door does. Some bounds are the door's own: what costs the engine work or memory for each one.
"""

from collections.abc import Mapping
from typing import Any

from leader.door.bodies.fields import (
    INT32,
    Dropped,
    Rule,
    a_list,
    an_object,
    boolean,
    engines_own,
    number,
    one_of,
    rebuilt,
    text,
    texts,
    whole,
    within_context,
)
from leader.door.grammars.gbnf import check_grammar
from leader.door.grammars.schemas import check_schema
from leader.door.orders import EngineFacts, Unacceptable

MOST_PROBABILITIES = 100
MOST_TOLD = 100_000
"""Of all tokens of an answer told whole: the engine takes over a KiB of memory for each."""
MOST_TOLD_IN_EVENTS = 1_000_000
"""The same for a stream, for which it takes a hundred bytes each."""
PROBABILITIES_OF_CHATS = 20
"""The engine's own number where a chat says ``logprobs`` alone."""
MOST_BIASES = 1024
MOST_STOPS = 64
MOST_STOP = 512
MOST_SAMPLERS = 16
MOST_BREAKERS = 32
MOST_INFILL = 256
"""Tokens that ``top_k`` leaves for the sampler ``infill``, which compares each with each."""
TOP_K = 40
"""The engine's own ``top_k``."""
MOST_RESPONSE_FIELDS = 32
MOST_ANSWERS = 64
"""To one request: prompts in an array, times the answers to each."""
FLOAT = 1e9
"""Of numbers that have no bounds of their own: far within what a float of the engine holds."""
INT64 = 2**63 - 1

_NAMES = frozenset(
    {"dry", "top_k", "top_p", "top_n_sigma", "typ_p", "min_p", "temperature", "xtc", "infill", "penalties"}
    | {"adaptive_p", "top-k", "top-p", "top-n-sigma", "typ-p", "min-p", "adaptive-p", "topk", "topp"}
    | {"topnsigma", "typp", "minp", "adaptivep", "nucleus", "temp", "typ"}
)


def _stops(value: Any, field: str, facts: EngineFacts) -> list[str] | None:
    """An empty string would end every answer before it began, so it says nothing."""
    items = [value] if isinstance(value, str) else value
    return [one for one in texts(MOST_STOPS, MOST_STOP)(items, field, facts) if one] or None


def _biases(value: Any, field: str, facts: EngineFacts) -> object:
    if isinstance(value, dict):
        if len(value) > MOST_BIASES:
            raise Unacceptable(field, f"must have at most {MOST_BIASES} entries")
        return {_biased(key, field): _bias(bias, field, facts) for key, bias in value.items()}
    pairs = a_list(value, field, MOST_BIASES)
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise Unacceptable(field, "must be an object, or a list of pairs of token and bias")
    return [[_biased(token, field), _bias(bias, field, facts)] for token, bias in pairs]


def _biased(token: Any, field: str) -> Any:
    if isinstance(token, str) and len(token) <= 256:
        return token
    if type(token) is int and 0 <= token <= INT32:
        return token
    raise Unacceptable(field, "must name tokens by their ids or by text of at most 256 characters")


def _bias(value: Any, field: str, facts: EngineFacts) -> object:
    return False if value is False else number(-FLOAT, FLOAT)(value, field, facts)


def _samplers(value: Any, field: str, facts: EngineFacts) -> object:
    if isinstance(value, str):
        return text(MOST_SAMPLERS)(value, field, facts)
    # Names of samplers that are no more, which older clients list, say nothing to the engine either.
    return [name for name in texts(MOST_SAMPLERS, 32)(value, field, facts) if name.lower() in _NAMES]


def _breakers(value: Any, field: str, facts: EngineFacts) -> object:
    """Single ones: to find in which tokens a longer one may begin, the engine stands still for long."""
    found = texts(MOST_BREAKERS, 1)(value, field, facts)
    if not found:
        raise Unacceptable(field, "must not be empty")
    if not all(one.isascii() for one in found):
        raise Unacceptable(field, "must hold single characters of ASCII")
    return found


def _response_fields(value: Any, field: str, facts: EngineFacts) -> list[str]:
    """With what an answer cost, by which its member is charged."""
    asked = texts(MOST_RESPONSE_FIELDS, 128)(value, field, facts)
    return asked and [*(name for name in asked if name != "timings"), "timings"]


def _seed(value: Any, field: str, facts: EngineFacts) -> int:
    """As the engine keeps it, in 32 bits; all ones, as -1 has, are any."""
    given = int(whole(-INT64 - 1, 2 * INT64 + 1)(value, field, facts)) % 2**32
    return -1 if given == 2**32 - 1 else given


def _probabilities(value: Any, field: str, facts: EngineFacts) -> int:
    """OpenAI's ``logprobs`` of text is a number; of chats, which comes here not, a yes or no."""
    return int(whole(0, MOST_PROBABILITIES)(int(value) if isinstance(value, bool) else value, field, facts))


def _grammar(value: Any, field: str, facts: EngineFacts) -> str | None:
    source = text(1 << 20)(value, field, facts)
    if not source.strip():
        return None
    check_grammar(source, field)
    return str(source)


def json_schema(value: Any, field: str, facts: EngineFacts) -> object:
    """A schema that the answer is to keep to."""
    check_schema(value, field)
    return value


def _stream_options(value: Any, field: str, facts: EngineFacts) -> object:
    return rebuilt(an_object(value, field), {"include_usage": boolean}, facts, Dropped(), field)


def continuation(value: Any, field: str, facts: EngineFacts) -> object:
    """``continue_final_message``: yes, no, or which part of it."""
    return value if isinstance(value, bool) else one_of("content", "reasoning_content")(value, field, facts)


SAMPLING: Mapping[str, Rule] = {
    "top_k": whole(0, INT32, clamped=True),
    "top_p": number(0.0, 1.0, clamped=True),
    "min_p": number(0.0, 1.0, clamped=True),
    "top_n_sigma": number(-FLOAT, FLOAT),
    "xtc_probability": number(0.0, 1.0, clamped=True),
    "xtc_threshold": number(0.0, 1.0, clamped=True),
    "typical_p": number(-FLOAT, FLOAT),
    "temperature": number(0.0, FLOAT, clamped=True),
    "dynatemp_range": number(-FLOAT, FLOAT),
    "dynatemp_exponent": number(-1000.0, 1000.0),
    "repeat_last_n": within_context,
    "repeat_penalty": number(-FLOAT, FLOAT),
    "frequency_penalty": number(-FLOAT, FLOAT),
    "presence_penalty": number(-FLOAT, FLOAT),
    "dry_multiplier": number(-FLOAT, FLOAT),
    "dry_base": number(-FLOAT, FLOAT),
    "dry_allowed_length": whole(0, INT32),
    "dry_penalty_last_n": within_context,
    "dry_sequence_breakers": _breakers,
    "mirostat": whole(0, 2, clamped=True),
    "mirostat_tau": number(-FLOAT, FLOAT),
    "mirostat_eta": number(-FLOAT, FLOAT),
    "adaptive_target": number(-FLOAT, 1.0, clamped=True),
    "adaptive_decay": number(0.0, 0.99),
    "seed": _seed,
    "min_keep": whole(0, 1024),
    "post_sampling_probs": boolean,
    "logit_bias": _biases,
    "ignore_eos": boolean,
    "samplers": _samplers,
}

ANSWER: Mapping[str, Rule] = {
    **SAMPLING,
    "model": text(512),
    "stream": boolean,
    "stream_options": _stream_options,
    "verbose": boolean,
    "timings_per_token": boolean,
    "return_tokens": boolean,
    "return_progress": boolean,
    # True is what the door says for itself; only a client's no is told on.
    "cache_prompt": lambda value, field, facts: False if not boolean(value, field, facts) else None,
    "n_predict": whole(-1, INT32),
    "max_completion_tokens": whole(-1, INT32),
    "max_tokens": whole(-1, INT32),
    "n_indent": whole(0, 4096),
    "n": whole(1, MOST_ANSWERS),
    "n_cmpl": whole(1, MOST_ANSWERS),
    "t_max_predict_ms": whole(-1, INT64),
    "n_probs": whole(0, MOST_PROBABILITIES),
    "stop": _stops,
    "grammar": _grammar,
    "json_schema": json_schema,
    "reasoning_format": one_of("none", "auto", "deepseek", "deepseek-legacy"),
    "reasoning_budget_tokens": whole(-1, INT32),
    "reasoning_budget_message": text(4096),
    "continue_final_message": continuation,
    "echo": boolean,
}
"""Of every path that answers. ``n`` and ``n_cmpl`` are for the door, which makes bodies of them."""

NATIVE: Mapping[str, Rule] = {
    **ANSWER,
    "logprobs": _probabilities,
    # Of the engine's own form of an answer alone.
    "response_fields": _response_fields,
}

ENGINES_OWN: Mapping[str, Rule] = {
    # Which slot, and what stays in it: another's KV, or what stands for a beginning that it is not.
    "id_slot": engines_own(-1),
    "n_keep": engines_own(0),
    "n_discard": engines_own(0),
    "n_cache_reuse": engines_own(0),
    # How an answer is parsed: made by the engine's own template code, trusted as such, and deadly else.
    "grammar_triggers": engines_own([]),
    "grammar_lazy": engines_own(False),
    "grammar_type": engines_own(),
    "preserved_tokens": engines_own([]),
    "chat_parser": engines_own(""),
    "chat_format": engines_own(),
    "generation_prompt": engines_own(""),
    "parse_tool_calls": engines_own(),
    "message_delimiters": engines_own([]),
    "reasoning_budget_start_tag": engines_own(""),
    "reasoning_budget_end_tag": engines_own(""),
    "reasoning_budget_end_tags": engines_own([]),
    # What the answer is computed with: not as asked would be another answer.
    "lora": engines_own([]),
    "backend_sampling": engines_own(False),
    "speculative": engines_own(),
    **{
        f"speculative.{name}": engines_own()
        for name in ("n_max", "n_min", "p_min", "type", "ngram_size_n", "ngram_size_m", "ngram_min_hits")
    },
}

LENGTHS = ("n_predict", "max_completion_tokens", "max_tokens")
"""Names of one field; the first that is given counts, as to the engine."""


def settled(built: dict[str, Any], facts: EngineFacts) -> dict[str, Any]:
    """Without the names that the engine would not look at: of each field, one is left.

    An answer with so many probabilities that the engine's memory does not suffice ends early, at a length.
    """
    for first, *others in (LENGTHS, ("n_probs", "logprobs")):
        names = [name for name in (first, *others) if name in built]
        for name in names[1:]:
            if not isinstance(built[name], bool):
                del built[name]
    if "grammar" in built and "json_schema" in built:
        raise Unacceptable("grammar", "cannot be given together with json_schema")
    _check_infill(built)
    if told := _told_of_a_token(built):
        most = (MOST_TOLD_IN_EVENTS if built.get("stream") else MOST_TOLD) // told
        name = next((name for name in LENGTHS if name in built), LENGTHS[0])
        if most < facts.context and not 0 <= built.get(name, -1) <= most:
            built[name] = most
    return built


def _check_infill(built: Mapping[str, Any]) -> None:
    given = built.get("samplers", [])
    names = (
        [_LETTERS.get(one, one) for one in given] if isinstance(given, str) else list(map(str.lower, given))
    )
    if "infill" not in names:
        return
    before = names[: names.index("infill")]
    if not _TOP_K & set(before) or not 0 < built.get("top_k", TOP_K) <= MOST_INFILL:
        raise Unacceptable("samplers", f"may have infill after a top_k of 1 to {MOST_INFILL} alone")


_TOP_K = {"top_k", "top-k", "topk"}
_LETTERS = {"k": "top_k", "i": "infill"}


def _told_of_a_token(built: Mapping[str, Any]) -> int:
    """How many probabilities are told of each token."""
    asked = built.get("logprobs", 0)
    of_chat = built.get("top_logprobs", PROBABILITIES_OF_CHATS) if asked is True else asked
    return max(int(of_chat), int(built.get("n_probs", 0)))
