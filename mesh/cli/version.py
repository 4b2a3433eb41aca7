"""The installed release."""

from importlib import metadata


def version() -> str:
    """The installed distribution's version."""
    return metadata.version("frankenstein-mesh")
