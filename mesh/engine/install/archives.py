"""Unpacking downloads: only the wanted files, never outside the target, and all of them or nothing."""

import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import trio

from mesh.engine.engine_errors import CorruptDownload

Wanted = Callable[[PurePosixPath], bool]


def unpack_tar(archive: Path, prefix: str, target: Path, wanted: Wanted) -> None:
    """Make ``target`` the regular files of ``archive`` below ``prefix`` whose relative path is ``wanted``.

    It leaves out links and devices, keeps modification times (so that an interrupted build continues) and
    refuses names that lead outside. Run it in a trio worker thread: it heeds the cancellation of the task
    that waits for it.
    """
    with _all_or_nothing(archive, target) as partial, tarfile.open(archive) as tar:
        for member in tar:
            trio.from_thread.check_cancelled()
            inside = _below(member.name, prefix)
            if not member.isfile() or inside is None or not wanted(inside):
                continue
            source = tar.extractfile(member)
            assert source is not None
            path = _write(partial / inside, source, member.mode)
            os.utime(path, (member.mtime, member.mtime))


def unpack_wheel(archive: Path, target: Path) -> None:
    """Make ``target`` the files of the wheel ``archive``, permissions included; else as ``unpack_tar``."""
    with _all_or_nothing(archive, target) as partial, zipfile.ZipFile(archive) as wheel:
        for entry in wheel.infolist():
            trio.from_thread.check_cancelled()
            inside = _below(entry.filename, "")
            if entry.is_dir() or inside is None:
                continue
            with wheel.open(entry) as source:
                _write(partial / inside, source, entry.external_attr >> 16)


@contextmanager
def _all_or_nothing(archive: Path, target: Path) -> Iterator[Path]:
    """An empty folder, which becomes ``target`` if nothing is raised; a broken archive is CorruptDownload."""
    partial = target.with_name(target.name + ".unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise CorruptDownload(
            f"{archive} cannot be unpacked: {error}", f"remove it and try again: rm {archive}"
        ) from error
    else:
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(path: Path, source: IO[bytes], mode: int) -> Path:
    """Write a file of the archive; of its permissions only the owner's right to execute is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as output:
        shutil.copyfileobj(source, output, 1 << 20)
    path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
    return path


def _below(name: str, prefix: str) -> PurePosixPath | None:
    """The part of ``name`` below ``prefix``, None when it is not there; CorruptDownload if it leads out."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise CorruptDownload(f"the archive names a file outside itself: {name!r}")
    try:
        return path.relative_to(prefix)
    except ValueError:
        return None
