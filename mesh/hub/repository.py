"""What the hub says of one repository, as plain values. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file by its path in the repository: ``size`` in bytes, ``sha256`` in hex or empty."""

    path: str
    size: int
    sha256: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Repository:
    """The GGUF files of ``repo`` at one revision, ``commit``.

    ``closed``: not everybody may download it (gated, or private), so a token may be needed.
    """

    repo: str
    commit: str
    closed: bool
    files: tuple[HubFile, ...]
