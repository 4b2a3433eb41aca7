"""What people type for a model: a file, a name, a repository of the hub, or an address. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileReference:
    """A file on this machine, as it was typed."""

    path: str


@dataclass(frozen=True, slots=True)
class NameReference:
    """The name of a model that the pool may hold."""

    name: str


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository of the hub; empty fields were not given. ``file`` is a path in it."""

    repo: str
    quantisation: str = ""
    file: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class UrlReference:
    """An address of https (or http with a hash); ``sha256`` in hex, from ``#sha256=``, else empty."""

    url: str
    sha256: str = ""


Reference = FileReference | NameReference | HubReference | UrlReference
