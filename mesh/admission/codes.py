"""Codes that people read aloud, such as ``42-swift-otter-maple``.

The number finds the machine that shows the code. The three words, 18 bits, are the secret. A code can be
tried once (`mesh.admission.pake`), so a guess succeeds once in 262,144 times.
"""

import re
import secrets
from dataclasses import dataclass
from difflib import get_close_matches

from mesh.admission.pool_names import HOW, WHAT
from mesh.wire.errors import MeshError

SLOTS = 100


@dataclass(frozen=True, slots=True)
class Code:
    """``slot`` (0..99) may be public; only the two people who compare the code may know ``words``."""

    slot: int
    words: tuple[str, str, str]

    def __str__(self) -> str:
        return "-".join([str(self.slot), *self.words])

    @property
    def secret(self) -> bytes:
        return " ".join(self.words).encode()

    @classmethod
    def new(cls) -> "Code":
        """An unpredictable code."""
        words = secrets.choice(HOW), secrets.choice(WHAT), secrets.choice(WHAT)
        return cls(secrets.randbelow(SLOTS), words)

    @classmethod
    def parse(cls, text: str) -> "Code":
        """Parse a typed code, with dashes or blanks.

        MeshError for anything else, before any code is tried.
        """
        parts = re.split(r"[\s-]+", text.strip().lower())
        shape = MeshError(
            "that is no code of a waiting machine", "it is a number and three words, like 42-swift-otter-elm"
        )
        if len(parts) != 4 or not re.fullmatch(r"[0-9]{1,2}", parts[0]):
            raise shape
        for word, known in zip(parts[1:], (HOW, WHAT, WHAT), strict=True):
            if word not in known:
                near = get_close_matches(word[:32], known, n=1)
                raise MeshError(
                    f"no code has the word {word[:32]!r} there", f"perhaps {near[0]}?" if near else shape.hint
                )
        return cls(int(parts[0]), (parts[1], parts[2], parts[3]))
