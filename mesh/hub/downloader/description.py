"""What the hub has of a repository, or else what to ask for instead."""

import re
from typing import Final

from mesh.hub.downloader import explanations, hub_library
from mesh.hub.downloader.persistence import Persistence
from mesh.hub.downloader.progress_lines import ProgressLines
from mesh.hub.downloader.refusals import Broken, HttpRefusal
from mesh.hub.hub_lines import DescribeRequest, FileEntry, HubError, RepositoryEntry

TRIES: Final = 3
COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MARKS: Final = re.compile(r"[-_.]?gguf$", re.IGNORECASE)


def describe(request: DescribeRequest, progress: ProgressLines) -> RepositoryEntry:
    """Raises HubError."""
    repo, revision = request["repo"], request["revision"]
    persistence = Persistence(progress.tell, request.get("pace", 1.0), TRIES)
    try:
        entry = persistence.run(lambda: hub_library.described(repo, revision))
    except Broken as error:
        cached = _cached(repo, revision)
        if cached is None:
            raise explanations.unreachable(hub_library.endpoint(), error) from error
        progress.tell(f"the hub cannot be reached ({error}): this is what the cache has")
        return cached
    except HttpRefusal as error:
        raise _explained(error, repo, revision) from error
    if not COMMIT.fullmatch(entry["commit"]):
        raise HubError("failed", f"{hub_library.endpoint()} does not answer as a hub does", "see HF_ENDPOINT")
    if not entry["files"]:
        raise HubError(
            "not_found", f"{repo} has no GGUF files", explanations.did_you_mean(f"{repo}-GGUF", _alike(repo))
        )
    return entry


def _explained(error: HttpRefusal, repo: str, revision: str) -> HubError:
    found = explanations.refused(error, repo, hub_library.endpoint(), hub_library.has_token())
    if found.code != "not_found":
        return found
    if error.code == "RevisionNotFound":
        hint = explanations.revisions_hint(hub_library.revisions(repo), revision)
        return HubError(found.code, f"{repo} has no revision {revision}", hint)
    hint = explanations.did_you_mean(repo, _alike(repo))
    return HubError(found.code, found.message, hint)


def _alike(repo: str) -> list[str]:
    """Repositories with GGUF files that may be meant: by the name, else of that owner, else by a word."""
    owner, _, name = repo.rpartition("/")
    name = _MARKS.sub("", name)
    found = hub_library.search(name)
    if not found and owner:
        found = hub_library.search(owner=owner)
    first = re.split(r"[-_]", name)[0]
    if not found and first != name and len(first) > 2:
        found = hub_library.search(first)
    return [one for one in found if one != repo]


def _cached(repo: str, revision: str) -> RepositoryEntry | None:
    """What the cache has of it: of that revision as last heard of, else of the newest commit there."""
    folder = hub_library.folder_of(repo)
    commits = folder / "snapshots"
    try:
        if COMMIT.fullmatch(revision):
            commit = revision
        elif (reference := folder / "refs" / (revision or "main")).is_file() and ".." not in revision:
            commit = reference.read_text(encoding="utf-8").strip()
        elif not revision and commits.is_dir():
            there = [one for one in commits.iterdir() if COMMIT.fullmatch(one.name)]
            commit = max(there, key=lambda one: one.stat().st_mtime).name if there else ""
        else:
            return None
        snapshot = commits / commit
        if not COMMIT.fullmatch(commit) or not snapshot.is_dir():
            return None
        files = [
            FileEntry(
                path=one.relative_to(snapshot).as_posix(),
                size=one.stat().st_size,
                sha256=name if _SHA256.fullmatch(name := one.resolve().name) else "",
            )
            for one in sorted(snapshot.rglob("*"))
            if one.name.lower().endswith(".gguf") and one.is_file()
        ]
    except (OSError, UnicodeDecodeError):
        return None
    # Whether everybody may have it is not known now: as if not.
    return RepositoryEntry(repo=repo, commit=commit, closed=True, files=files) if files else None
