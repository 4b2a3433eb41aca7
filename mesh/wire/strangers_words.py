"""Words of another node's, which are logged, told to others, and shown on terminals. Pure."""


def printable(words: object, most: int) -> str:
    """At most so many characters, without what drives a terminal or begins a line; "" for what is no text."""
    text = words[:most] if isinstance(words, str) else ""
    return "".join(one if one.isprintable() else " " for one in text).strip()
