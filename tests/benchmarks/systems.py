"""What is compared: programs that keep a list of who is there, behind one interface."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import psutil

from tests.lab.host import Host

View = Mapping[str, str]
"""An agent's list: a member's name -> ``alive``, ``suspect``, ``dead`` or ``left``."""


class AgentError(Exception):
    """An agent did not do what it was asked, or did not answer."""


class Unavailable(Exception):
    """A system cannot be run on this machine; the text says why and what would help."""


class Agent(Protocol):
    """One agent of a system, running on a host of the lab. Its methods block; they raise AgentError."""

    name: str
    process: psutil.Process

    def is_up(self) -> bool:
        """Whether it answers questions yet."""

    def found(self) -> str:
        """Begin a pool; returns what others join it by."""

    def join(self, invitation: str, seconds: float) -> None:
        """Do what the system's join command does, within so many seconds."""

    def view(self) -> View:
        """Its list of members at some moment between call and return."""


class System(Protocol):
    """A program to compare. Agents are started without a pool, so that starting does not count as joining."""

    name: str
    version: str
    settings: str

    def start(self, host: Host) -> Agent:
        """Start an agent on the host, named like it; it need not be up when this returns."""


def cached(name: str, cache: Path) -> Path:
    """Where a benchmark keeps a program that it fetched for a comparison."""
    return cache / "benchmarks" / name
