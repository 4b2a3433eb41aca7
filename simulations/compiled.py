"""``--compiled``: the same sources compiled to machine code by mypyc, for searches that take hours.

The plain sources remain the reference. The build is a copy of them outside the tree, named by a hash over all
of them. Its runs are the same event by event, as the trace hashes of ``replay`` show. Mutants cannot be
applied to it: they replace what is fixed there.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import platformdirs

from mesh.wire.errors import MeshError

ROOT = Path(__file__).parent.parent
_PACKAGES = ("mesh", "worker", "leader", "simulations")
_COMPILED = (
    "mesh/wire/*.py",
    "mesh/protocol/*/*.py",
    "leader/placement/cost.py",
    "leader/reconcile/rebalance.py",
    "leader/placement/planner.py",
    "leader/reconcile/decide.py",
    "leader/reconcile/driver.py",
    "leader/placement/placement_table.py",
    "leader/reconcile/view.py",
    "leader/model/model_info.py",
    "leader/reconcile/member_views.py",
    "simulations/checkers/*.py",
    "simulations/engines.py",
    "simulations/hosts.py",
    "simulations/leading.py",
    "simulations/network.py",
    "simulations/signing.py",
    "simulations/world.py",
    "worker/fence.py",
    # A plain class cannot inherit from a compiled one.
    "simulations/measures/stubbed_world.py",
    "simulations/measures/falsedeaths/tilting.py",
)
_PLAIN = {
    # Dataclasses with a ClassVar before fields without a default, and a cached_property.
    "mesh/wire/facts.py",
    "mesh/wire/messages.py",
    "mesh/wire/signed_facts.py",
    # The decorator of dataclasses, and errors that plain modules inherit from.
    "mesh/wire/immutable.py",
    "mesh/wire/errors.py",
}
_BUILD = """
import sys
from setuptools import setup
from mypyc.build import mypycify
modules = mypycify(["--ignore-missing-imports", *sys.argv[1:]], opt_level="2", debug_level="0")
setup(name="simulations", packages=[], ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])
"""


def run(arguments: Sequence[str]) -> int:
    """Run a command of the simulations in the compiled build, and build it first if missing; its exit code.

    Raises MeshError when it cannot be built.
    """
    chosen = os.environ.get("MESH_CACHE_DIR") or platformdirs.user_cache_dir("frankenstein-mesh")
    built = build(ROOT, Path(chosen) / "compiled")
    environment = {**os.environ, "PYTHONPATH": str(built)}
    return subprocess.call([sys.executable, "-P", "-m", "simulations", *arguments], env=environment)


def build(root: Path, cache: Path) -> Path:
    """The folder of these sources' build; a missing one is built there, which takes a minute or two."""
    target = cache / name_of(root)
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
        copy = Path(scratch) / "sources"
        for package in _PACKAGES:
            shutil.copytree(root / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        _compile(copy)
        try:
            copy.rename(target)
        except OSError:
            if not target.is_dir():  # another process may have been first
                raise
    return target


def _compile(directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, *modules(directory)], cwd=directory, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise MeshError(
            f"The simulator could not be compiled: {''.join(last)}",
            "it takes mypy, setuptools and a C compiler; or leave --compiled out",
        )
    shutil.rmtree(directory / "build")


def modules(root: Path) -> list[str]:
    """The files to compile, relative to the root."""
    found = [path.relative_to(root) for pattern in _COMPILED for path in sorted(root.glob(pattern))]
    return [path.as_posix() for path in found if path.name != "__init__.py" and path.as_posix() not in _PLAIN]


def name_of(root: Path) -> str:
    """A hash over all sources and over the interpreter that the build is for."""
    hashed = blake2b(f"{platform.python_version()} {platform.machine()}".encode(), digest_size=12)
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            content = path.read_bytes()
            hashed.update(f"{path.relative_to(root).as_posix()} {len(content)}\0".encode() + content)
    return hashed.hexdigest()
