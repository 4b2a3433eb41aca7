"""Which commands can be typed in place of a message. Pure."""

import re
from difflib import get_close_matches
from typing import NamedTuple

SLASH_COMMANDS = {
    "system": ("/system TEXT", "set what the model is told beforehand; without TEXT, show it"),
    "stats": ("/stats", "times of the last answer, and which machines computed it"),
    "retry": ("/retry", "ask for the last answer once more"),
    "new": ("/new", "forget the conversation and begin anew"),
    "help": ("/help", "show this"),
    "exit": ("/exit", "leave, as /quit and Ctrl-D do"),
    "quit": ("/quit", ""),
}

TEXT_COLUMN = 17
"""Where in the lines of `slash_help` the texts begin."""
_OF_OTHERS = {"bye": "exit", "q": "exit", "clear": "new", "reset": "new", "regen": "retry", "?": "help"}
"""What people type who know other chats."""

_TYPED = re.compile(r"/([a-zA-Z]+|\?)(?:\s+(.*))?", re.DOTALL)


class SlashCommand(NamedTuple):
    """A command that was typed, with the text behind it."""

    name: str
    text: str


class UnknownSlash(NamedTuple):
    """A word with a slash that is no command; ``hint`` names those there are."""

    word: str
    hint: str


def read_slash(line: str) -> SlashCommand | UnknownSlash | None:
    """Read what was typed; None for a message, such as one about ``/etc/hosts``, or one behind a blank."""
    typed = _TYPED.fullmatch(line.rstrip())
    if typed is None:
        return None
    name = typed[1].lower()
    name = _OF_OTHERS.get(name, name)
    if name in SLASH_COMMANDS:
        return SlashCommand(name, (typed[2] or "").strip())
    known = ", ".join(f"/{one}" for one in SLASH_COMMANDS)
    near = get_close_matches(name, SLASH_COMMANDS, n=1)
    meant = f"did you mean /{near[0]}? " if near else ""
    return UnknownSlash(f"/{typed[1]}", f"{meant}there are {known}; a blank before it makes it a message")


def slash_help() -> str:
    """Return the text that /help shows."""
    listed = [f"  {usage}".ljust(TEXT_COLUMN) + what for usage, what in SLASH_COMMANDS.values() if what]
    return "\n".join(
        [
            *listed,
            "  Enter sends; Alt-Enter or Ctrl-J adds a line.",
            "  Ctrl-C ends an answer, and what has come of it stays. Ctrl-D leaves.",
        ]
    )
