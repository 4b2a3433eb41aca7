"""Paths in texts for people of other machines: a file's name says enough, its folders name users. Pure."""

import re
from typing import Final

_QUOTED: Final = re.compile(r"""(['"`])/(?:[^'"`\n]*/)?([^'"`/\n]+)/?\1""")
_BARE: Final = re.compile(r"""(?<![\w/:.'"`<-])/(?:[^\s/'"`:;,()]+/)*(?=[^\s/'"`:;,()])""")


def without_folders(text: str) -> str:
    """The text with its absolute paths cut to their last names."""
    return _BARE.sub("", _QUOTED.sub(r"\1\2\1", text))
