"""What people type who know other programs, and the lines of ours that do the same."""

import shlex
from collections.abc import Iterable, Sequence

_STATUS, _MODELS, _MEMBERS = ("status",), ("models",), ("members",)
_CHAT, _PULL = ("chat",), ("pull MODEL",)
_SERVE = ("serve MODEL --wait",)
_EVICT, _JOIN, _LEAVE = ("evict MEMBER",), ("join [HOST]",), ("leave",)

LINES: dict[str, tuple[str, ...]] = {
    "run": ("serve MODEL --wait", "chat"),
    **dict.fromkeys(("load", "deploy", "launch", "server", "llama-server"), _SERVE),
    "start": ("join", "serve MODEL --wait"),
    **dict.fromkeys(("up", "create", "init"), ("join",)),
    **dict.fromkeys(("connect", "login", "signin"), _JOIN),
    **dict.fromkeys(("down", "disconnect", "logout", "quit", "exit", "uninstall"), _LEAVE),
    **dict.fromkeys(("unload", "eject", "kill", "unserve"), ("stop",)),
    **dict.fromkeys(("ps", "info", "stat", "stats", "state", "containers", "inspect"), _STATUS),
    **dict.fromkeys(("top", "watch"), ("status --watch",)),
    **dict.fromkeys(("list", "ls", "images", "library"), _MODELS),
    **dict.fromkeys(("nodes", "node", "peers", "machines", "workers"), _MEMBERS),
    **dict.fromkeys(("rm", "remove", "delete", "prune", "models rm"), ("models --prune",)),
    "show": ("plan MODEL",),
    **dict.fromkeys(("search", "download", "get", "fetch"), _PULL),
    **dict.fromkeys(("models pull", "models add"), _PULL),
    **dict.fromkeys(("models list", "models ls"), _MODELS),
    "models serve": _SERVE,
    **dict.fromkeys(("ask", "prompt", "generate", "talk", "llama-cli"), _CHAT),
    **dict.fromkeys(("update", "upgrade", "reload", "reboot"), ("restart",)),
    **dict.fromkeys(("kick", "ban", "revoke"), _EVICT),
    **dict.fromkeys(("accept", "allow"), ("approve CODE",)),
    **dict.fromkeys(("token", "share", "add"), ("invite",)),
    **dict.fromkeys(("log", "tail"), ("logs -f",)),
    **dict.fromkeys(("check", "diagnose", "test"), ("doctor",)),
    "version": ("--version",),
}
"""By word, or two words, the arguments of `mesh` that come nearest; a word in capitals stands for a value,
one in brackets for a value that may be missing."""

NOTES = {
    "search": "this program searches no catalogue; it takes the name of a model",
    "update": "first install the new program with join_pool.sh",
    "upgrade": "first install the new program with join_pool.sh",
    "rm": "that removes the copies here that nothing uses",
    "remove": "that removes the copies here that nothing uses",
    "delete": "that removes the copies here that nothing uses",
}


def advice(words: Sequence[str], commands: Iterable[str], program: str = "mesh") -> str:
    """What to type instead of ``words``, which begin with no command of ours.

    A word of another tool gives our lines, with the value that was typed; a mistyped command the nearest.
    ``program`` is how this one is called.
    """
    known = words_of_others(words)
    if known is not None:
        return _said(known, words, program)
    from difflib import get_close_matches

    typed = words[0].lower()
    if near := get_close_matches(typed, [*commands, "help"], n=1):
        return f"did you mean: mesh {near[0]}"
    if near := get_close_matches(typed, LINES, n=1, cutoff=0.8):
        return _said(near[0], [near[0], *words[1:]], program)
    return "see: mesh --help"


def words_of_others(words: Sequence[str]) -> str | None:
    """The key in `LINES` with which ``words`` begin, the longer one first."""
    beginnings = (" ".join(words[:length]).lower() for length in (2, 1))
    return next((beginning for beginning in beginnings if beginning in LINES), None)


def _said(known: str, words: Sequence[str], program: str) -> str:
    rest = words[len(known.split()) :]
    value = rest[0] if rest and not rest[0].startswith("-") else None
    lines = [f"{program} {_with_value(line, value)}" for line in LINES[known]]
    note = NOTES.get(known, "")
    return ", then: ".join(lines) + (f" ({note})" if note else "")


def _with_value(line: str, value: str | None) -> str:
    """``line`` with ``value``, quoted for a shell, in place of the word that stands for it."""
    words = [word for word in line.split() if value is not None or not word.startswith("[")]
    return " ".join(shlex.quote(value) if value is not None and word.isupper() else word for word in words)
