"""Several answers told as one, as llama-server does with ``n`` and with prompts in arrays. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from leader.door.dialects.error_shapes import sse_event
from leader.door.writers.chat_pieces import ChatUsage, read_usage
from leader.door.writers.single_end import SingleEnd


class ChoicesWriter(SingleEnd):
    """Single completions as the choices of one, of a chat or of text.

    A chat's answers share their prompt, so its tokens count once; texts have a prompt each.
    """

    def __init__(self, wants_usage: bool, one_prompt: bool) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        self._one_prompt = one_prompt
        self._common: dict[str, Any] = {}
        self._usages: dict[int, ChatUsage] = {}

    def whole(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the one completion with all choices."""
        choices = []
        for index, answer in enumerate(answers):
            self._note(index, answer)
            choices += _numbered(answer, index)
        return {**answers[0], "choices": choices, "usage": self._usage()}

    def _chunk(self, index: int, value: Mapping[str, Any]) -> bytes:
        self._note(index, value)
        if not value.get("choices"):
            return b""
        kept = {name: part for name, part in value.items() if name != "usage"}
        return sse_event(None, {**kept, **self._common, "choices": _numbered(value, index)})

    def _last(self) -> bytes:
        usage = b""
        if self._wants_usage:
            usage = sse_event(None, {**self._common, "choices": [], "usage": self._usage()})
        return usage + b"data: [DONE]\n\n"

    def _note(self, index: int, value: Mapping[str, Any]) -> None:
        if not self._common:
            names = ("id", "created", "model", "object", "system_fingerprint")
            self._common = {name: value[name] for name in names if name in value}
        if "prompt_progress" not in value and (usage := read_usage(value)):
            self._usages[index] = usage

    def _usage(self) -> dict[str, Any]:
        usages = [self._usages[index] for index in sorted(self._usages)]
        prompts = usages[:1] if self._one_prompt else usages
        prompt = sum(usage.prompt for usage in prompts)
        completion = sum(usage.completion for usage in usages)
        return {
            "completion_tokens": completion,
            "prompt_tokens": prompt,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(usage.cached for usage in prompts)},
        }


class ListWriter(SingleEnd):
    """llama-server's own answers as its own list; in a stream each event says whose it is."""

    def whole(self, answers: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return the list."""
        return [{**answer, "index": index} for index, answer in enumerate(answers)]

    def _chunk(self, index: int, value: Mapping[str, Any]) -> bytes:
        return sse_event(None, {**value, "index": index})

    def _last(self) -> bytes:
        """Tell nothing: each answer's last event says ``"stop": true``."""
        return b""


def _numbered(value: Mapping[str, Any], index: int) -> list[dict[str, Any]]:
    choices = value.get("choices")
    return [{**choice, "index": index} for choice in choices] if isinstance(choices, list) else []
