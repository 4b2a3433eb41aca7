"""The variants of a model in a repository, told apart by their files' names, best first. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from mesh.hub.repository import HubFile
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError

ENOUGH_BITS: Final = 9.0
"""A weight in bits; what has more differs in nothing that people notice."""
MAX_NAMED: Final = 40
"""Variants that an error lists."""

_SPLIT: Final = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})$", re.DOTALL)
_SUFFIX: Final = ".gguf"
_QUANTISATION: Final = re.compile(
    r"(?<![A-Z0-9])(?P<label>(?:UD[-_])?(?:"
    r"I?Q[1-8](?:_(?:KSS|KS|KL|KT|K|NL|XXS|XXL|XS|XL|S|M|L|P|R4|R8|[0148]))*"
    r"|TQ[12]_0|MXFP[468](?:_MOE)?|NVFP4|BF16|FP?(?:16|32)|FP8))(?![A-Z0-9])"
)
_BITS: Final = {
    "F32": 32.0,
    "BF16": 16.1,
    "F16": 16.0,
    "FP8": 8.0,
    "NVFP4": 4.5,
    "TQ2_0": 2.06,
    "TQ1_0": 1.69,
}
_STEPS: Final = {
    "XXL": 0.5,
    "XL": 0.4,
    "L": 0.3,
    "1": 0.3,
    "M": 0.2,
    "NL": 0.2,
    "K": 0.15,
    "S": -0.1,
    "XS": -0.2,
    "XXS": -0.3,
}
_UNKNOWN_BITS: Final = 0.0
_PROJECTORS: Final = ("F16", "BF16", "Q8_0", "F32")


@dataclass(frozen=True, slots=True)
class Variant:
    """One quantisation, such as Q4_K_M: its file, or the parts of a split one in order."""

    quantisation: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def variants(files: Iterable[HubFile]) -> list[Variant]:
    """The models among a repository's files, best quality first; a split one only if none of it is missing.

    One whose name tells no quantisation, or another's, is called by the name of its file.
    """
    groups = _complete(file for file in files if _is_model(file))
    labels = {stem: _label(stem) for stem in groups}
    known = Counter(labels.values())
    names = Counter(map(_file_name, groups))
    found = []
    for stem, parts in groups.items():
        label, name = labels[stem], _file_name(stem)
        # The folder is told only where another file has the same name.
        called = name if names[name] == 1 else stem
        found.append(Variant(label if label and known[label] == 1 else called, parts))
    return sorted(found, key=lambda one: (-_bits(_label(one.files[0].path)), -one.size, one.quantisation))


def of_file(found: Sequence[Variant], path: str, files: Iterable[HubFile], repo: str) -> Variant:
    """The variant with the file ``path``, alone or as a part; its name suffices where one has it.

    Raises `MeshError` where none of ``files`` is called so, or it is no model, or parts of it are missing.
    """
    for complete in (True, False):
        alike = [
            one for one in found if any(path == (file.path if complete else file.name) for file in one.files)
        ]
        if len(alike) == 1:
            return alike[0]
    if any(file.path == path for file in files):
        raise MeshError(f"{path} in {repo} is no model, or parts of it are missing", _there(found))
    near = get_close_matches(path, [file.path for one in found for file in one.files], n=1)
    guess = f"did you mean hf:{repo}/{near[0]}? " if near else ""
    raise MeshError(f"there is no file {path} in {repo}", guess + _there(found))


def projectors(files: Iterable[HubFile]) -> list[HubFile]:
    """The files that turn pictures or sound into what a model reads, by path."""
    return sorted((file for file in files if _is_projector(file)), key=lambda file: file.path)


def projector_for(variant: Variant, found: Sequence[HubFile]) -> HubFile | None:
    """The projector that comes along: F16 or the nearest, of the variant's folder before others.

    They are small, so the best that every backend computes is worth its bytes; one is enough.
    """

    def key(file: HubFile) -> tuple[bool, int, str]:
        label = _label(file.path)
        rank = _PROJECTORS.index(label) if label in _PROJECTORS else len(_PROJECTORS)
        return _folder(file) != _folder(variant.files[0]), rank, file.path

    return min(found, key=key, default=None)


def named(found: Sequence[Variant], wanted: str, repo: str) -> Variant:
    """The variant that a person calls ``wanted``, in any case. Raises `MeshError` with what there is."""
    folded = _canonical(wanted)
    for alike in (
        [one for one in found if _canonical(one.quantisation) == folded],
        [one for one in found if _canonical(one.quantisation) == f"UD-{folded}"],
        [one for one in found if _label(one.files[0].path) == (_label(wanted) or folded)],
    ):
        if len(alike) == 1:
            return alike[0]
    there = [one.quantisation for one in found]
    if _label(wanted) == folded:  # one that exists, so that the nearest is one that is about as good
        close = sorted(there, key=lambda name: abs(_bits(_canonical(name)) - _bits(folded)))
    else:
        near = {_canonical(name): name for name in reversed(there)}
        close = [near[one] for one in get_close_matches(folded, near, n=1, cutoff=0.5)]
    guess = f"did you mean hf:{repo}:{close[0]}? " if close else ""
    raise MeshError(f"there is no {wanted} in {repo}", guess + _there(found))


def best(found: Sequence[Variant], fits: Sequence[bool]) -> Variant | None:
    """The best of the variants (best first) for which ``fits``; None where none does.

    One of more than 8 bits is taken only where nothing else fits. A file of 16 bits a weight is twice as big
    as Q8_0, so it takes twice the memory and time, for nothing that people notice: in llama.cpp's own tables
    the perplexity of Q8_0 is within a thousandth of it. One whose name tells no quantisation comes last.
    """
    fitting = [one for one, good in zip(found, fits, strict=True) if good]
    known = [one for one in fitting if _label(one.files[0].path)]
    small = [one for one in known if _bits(_label(one.files[0].path)) <= ENOUGH_BITS]
    return next(iter([*small, *reversed(known), *fitting]), None)


def _there(found: Sequence[Variant]) -> str:
    """What a hint says of the variants that there are."""
    if not found:
        return "it has no GGUF files that can be served"
    listed = ", ".join(f"{one.quantisation} ({size_text(one.size)})" for one in found[:MAX_NAMED])
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return f"there are: {listed}{more}"


def _complete(files: Iterable[HubFile]) -> dict[str, tuple[HubFile, ...]]:
    """The files of each model in order, by its path without number and suffix."""
    groups: dict[tuple[str, int], dict[int, HubFile]] = {}
    for file in files:
        stem, number, count = _split(file.path)
        groups.setdefault((stem, count), {})[number] = file
    whole: dict[str, tuple[HubFile, ...]] = {}
    for (stem, count), parts in sorted(groups.items()):
        if sorted(parts) == list(range(1, count + 1)) and stem not in whole:
            whole[stem] = tuple(parts[number] for number in sorted(parts))
    return whole


def _split(path: str) -> tuple[str, int, int]:
    stem = path[: -len(_SUFFIX)]
    match = _SPLIT.match(stem)
    return (match["stem"], int(match["number"]), int(match["count"])) if match else (stem, 1, 1)


def _is_model(file: HubFile) -> bool:
    name = file.name.lower()
    importances = "imatrix" in name and not _label(name)  # what a quantisation was made with
    return name.endswith(_SUFFIX) and not _is_projector(file) and not importances


def _is_projector(file: HubFile) -> bool:
    name = file.name.lower()
    return name.endswith(_SUFFIX) and "mmproj" in name


def _folder(file: HubFile) -> str:
    return file.path.rpartition("/")[0]


def _file_name(stem: str) -> str:
    return stem.rpartition("/")[2]


def _label(path: str) -> str:
    """The quantisation that a path tells, the last one in the file's name, else in its folders'; or empty."""
    for part in reversed(path.upper().removesuffix(_SUFFIX.upper()).split("/")):
        if told := [match["label"] for match in _QUANTISATION.finditer(part)]:
            return _canonical(told[-1])
    return ""


def _canonical(label: str) -> str:
    label = label.upper()
    return re.sub(r"^FP(16|32)$", r"F\1", re.sub(r"^UD_", "UD-", label))


def _bits(label: str) -> float:
    """About how many bits a weight has: for the order, not for a size."""
    plain = label.removeprefix("UD-")
    if plain in _BITS:
        return _BITS[plain]
    number = re.search(r"\d+", plain)
    if number is None:
        return _UNKNOWN_BITS
    bits = float(number[0]) + (-0.05 if plain.startswith("I") else 0.0)
    return bits + sum(_STEPS.get(part, 0.0) for part in plain.split("_")[1:])
