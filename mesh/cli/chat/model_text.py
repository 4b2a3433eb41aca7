"""A model's words without anything that could drive the terminal. Pure."""

import unicodedata

LONGEST_SEQUENCE = 1024
"""Characters of an unended escape sequence that are left out; what follows is text again."""

_JOINERS = "\u200c\u200d"
_STRINGS = frozenset("]PX^_\x9d\x90\x98\x9e\x9f")
"""What opens a sequence that runs to BEL or ST: by ESC and a letter, or by one character of its own."""


class ModelText:
    """Takes text in pieces, cut anywhere, and returns it without escape sequences and control characters.

    Line breaks and tabs stay, CR LF counts as one line break. Characters that turn the direction of text are
    left out as well; the joiners that scripts and emoji need stay.
    """

    def __init__(self) -> None:
        self._state = ""  # "", or what is open: "escape", "control", "string", "string end"
        self._length = 0

    def feed(self, text: str) -> str:
        """Return what of the text may be shown."""
        return "".join(map(self._take, text))

    def _take(self, c: str) -> str:
        if self._state:
            self._length += 1
            if self._length > LONGEST_SEQUENCE or c in "\n\x18\x1a":
                self._state = ""
            else:
                self._state = self._next(c)
                return ""
        if c == "\x1b" or c == "\x9b" or (c in _STRINGS and c > "\x7f"):
            self._length = 0
            self._state = "escape" if c == "\x1b" else "control" if c == "\x9b" else "string"
            return ""
        return _shown(c)

    def _next(self, c: str) -> str:
        """Return the state after one more character of a sequence."""
        if c == "\x1b":
            return "string end" if self._state == "string" else "escape"
        if self._state == "string":
            return "" if c in "\x07\x9c" else "string"
        if self._state == "string end":
            return ""
        if self._state == "control":
            return "" if "\x40" <= c <= "\x7e" else "control"
        if c == "[":
            return "control"
        if c in _STRINGS:
            return "string"
        return "escape" if "\x20" <= c <= "\x2f" else ""


def _shown(c: str) -> str:
    if c in "\n\t" or c in _JOINERS:
        return c
    category = unicodedata.category(c)
    if category in ("Zl", "Zp"):
        return "\n"
    return "" if category in ("Cc", "Cf", "Cs") else c
