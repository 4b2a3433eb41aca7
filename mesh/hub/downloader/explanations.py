"""Why the hub gives nothing, in sentences that say what to do next. Pure."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from mesh.hub.downloader.refusals import Broken, HttpRefusal, NeverBegun
from mesh.hub.hub_lines import HubError

MOST_OFFERED = 5
_LOG_IN = "`hf auth login` or HF_TOKEN"


def unreachable(endpoint: str, error: Broken) -> HubError:
    if isinstance(error, NeverBegun) and error.offline:
        return HubError(
            "offline", "HF_HUB_OFFLINE is set, and it is not in the cache", "unset HF_HUB_OFFLINE"
        )
    return HubError(
        "offline",
        f"the hub at {endpoint} cannot be reached: {error}",
        "look at this machine's network; HF_ENDPOINT names another hub, HTTPS_PROXY a proxy",
    )


def refused(error: HttpRefusal, repo: str, endpoint: str, has_token: bool) -> HubError:
    """What was asked of ``repo``; ``has_token``: whether a token went along.

    Where it is ``not_found``, the caller may know a better hint.
    """
    if error.status == 401 and "credentials" in error.message.lower() and has_token:
        hint = f"log in again with {_LOG_IN}, or take the token away"
        return HubError("gated", f"the hub at {endpoint} refuses your token", hint)
    if error.code == "GatedRepo":
        return _gated(repo, endpoint, has_token)
    if error.code == "RevisionNotFound":
        return HubError("not_found", f"{repo} has no such revision")
    if error.code == "EntryNotFound":
        return HubError("not_found", f"{repo} has no such file", f"see {endpoint}/{repo}/tree/main")
    if error.status in (401, 404):
        return HubError("not_found", f"there is no {repo} on the hub, or it is private")
    if error.status == 403:
        words = f": {error.message}" if error.message else ""
        hint = f"see {endpoint}/{repo} in a browser" + ("" if has_token else f"; or log in with {_LOG_IN}")
        return HubError("gated", f"the hub does not let you have {repo}{words}", hint)
    if error.passing:
        return HubError("busy", f"the hub at {endpoint} answers with error {error.status}", "try again later")
    words = error.message or f"error {error.status}"
    return HubError("failed", f"the hub refuses {repo}: {words}", f"see {endpoint}/{repo} in a browser")


def _gated(repo: str, endpoint: str, has_token: bool) -> HubError:
    if has_token:
        return HubError(
            "gated",
            f"{repo} is gated, and the hub refuses your token for it",
            f"agree to its terms on {endpoint}/{repo} with the account of that token; some owners look at"
            " each request first",
        )
    return HubError(
        "gated",
        f"{repo} is gated: its owner wants to know who downloads it",
        f"agree to its terms on {endpoint}/{repo}, then {_LOG_IN}",
    )


def did_you_mean(repo: str, found: Iterable[str]) -> str:
    """The hint for a name that leads to nothing: the repositories most like it."""
    offered = most_alike(repo, found)
    if offered:
        return "did you mean: " + ", ".join(f"hf:{one}" for one in offered)
    return "name one as hf:OWNER/NAME, such as hf:ggml-org/gemma-3-4b-it-GGUF"


def most_alike(name: str, found: Iterable[str]) -> list[str]:
    """At most five, the most alike first; the hub's order stays among equals."""

    def unlikeness(one: str) -> float:
        whole = SequenceMatcher(None, name.lower(), one.lower()).ratio()
        parts = (one.lower().rpartition("/")[2], name.lower().rpartition("/")[2])
        return -(whole + SequenceMatcher(None, parts[1], parts[0]).ratio())

    return sorted(dict.fromkeys(found), key=unlikeness)[:MOST_OFFERED]


def revisions_hint(revisions: Sequence[str], asked: str) -> str:
    if not revisions:
        return "leave the revision out"
    offered = most_alike(asked, revisions)
    return "it has " + ", ".join(offered) + (", ..." if len(revisions) > len(offered) else "")
