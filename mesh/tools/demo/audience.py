"""Who watches the demo: told of each step and each word as it comes. This one hears nothing."""

from collections.abc import Mapping
from typing import Any


class Audience:
    """Everything is optional to show; a subclass shows it. A method may raise OSError: then the demo ends."""

    def heading(self, step: str) -> None:
        """A step begins."""

    def line(self, text: str) -> None:
        """A fact of the present step."""

    def progress(self, event: Mapping[str, Any]) -> None:
        """How far something slow is: ``text``, perhaps with ``progress`` (0..1) and ``eta_seconds``."""

    def piece(self, text: str) -> None:
        """The next piece of an answer, as it came: about a word."""

    def killed(self, name: str) -> None:
        """The node of that name was killed between two pieces; the pieces after are others' work."""

    def answer_ends(self) -> None:
        """The answer is whole, or broke off."""
