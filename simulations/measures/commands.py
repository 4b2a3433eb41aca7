"""The commands that measure the protocol: how fast, how often wrong, at what cost."""

from __future__ import annotations

import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the measuring commands."""
