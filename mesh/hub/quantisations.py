"""The variants of a model in a repository, told apart by their files' names, best first. Pure."""

from dataclasses import dataclass

from mesh.hub.repository import HubFile


@dataclass(frozen=True, slots=True)
class Variant:
    """One quantisation, such as Q4_K_M: its file, or the parts of a split one in order."""

    quantisation: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)
