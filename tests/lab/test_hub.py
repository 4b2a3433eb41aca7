"""The hub made for tests: it serves what was put there, and each fault shows."""

from pathlib import Path

import httpx

from tests.lab.hub import CHANGED_LATER, PAGE, ScriptedHub

DATA = bytes(range(256)) * 200
REPO = "ann/tiny-GGUF"


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False, timeout=30)


def test_a_repository_is_listed_found_and_resolved() -> None:
    with ScriptedHub() as hub:
        commit = hub.add(REPO, {"deep/a.gguf": DATA}).commit
        assert [one["id"] for one in get(f"{hub.url}/api/models?search=TINY&filter=gguf").json()] == [REPO]
        assert get(f"{hub.url}/api/models?search=other").json() == []
        described = get(f"{hub.url}/api/models/{REPO}").json()
        assert (described["sha"], described["siblings"][0]["size"]) == (commit, len(DATA))
        assert get(f"{hub.url}/api/models/{REPO}/refs").json()["branches"][0]["name"] == "main"
        moved = httpx.head(f"{hub.url}/{REPO}/resolve/main/deep/a.gguf", trust_env=False)
        assert (moved.status_code, moved.headers["x-repo-commit"]) == (302, commit)
        assert get(moved.headers["location"]).content == DATA
        missing = get(f"{hub.url}/{REPO}/resolve/other/deep/a.gguf")
        assert (missing.status_code, missing.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_ranges_are_served_of_the_version_that_is_meant() -> None:
    with ScriptedHub() as hub:
        hub.put("a", DATA)
        url = hub.file_url("a", secure=False)
        part = get(url, Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, DATA[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(DATA)}"
        assert get(url, Range="bytes=10-", **{"If-Range": CHANGED_LATER}).status_code == 206
        assert get(url, Range="bytes=10-", **{"If-Range": '"other"'}).content == DATA
        assert get(url, Range=f"bytes={len(DATA)}-").status_code == 416
        hub.faults.no_ranges = True
        assert get(url, Range="bytes=10-19").content == DATA


def test_counted_faults_happen_so_often_and_no_more() -> None:
    with ScriptedHub() as hub:
        hub.put("a", DATA)
        url = hub.file_url("a", secure=False)
        hub.faults.busy_times, hub.faults.error_times, hub.faults.retry_after = 1, 1, "7"
        answers = [get(url) for _ in range(3)]
        assert [one.status_code for one in answers] == [429, 503, 200]
        assert answers[0].headers["retry-after"] == "7"
        hub.faults.busy_times, hub.faults.at = -1, "/elsewhere"
        assert get(url).status_code == 200


def test_bodies_break_off_lie_and_turn_into_pages() -> None:
    with ScriptedHub() as hub:
        hub.put("a", DATA)
        url = hub.file_url("a", secure=False)
        hub.faults.cut_after = 1000
        assert (cut(url), cut(url)) == (1000, len(DATA))
        hub.faults.body_longer = 5
        assert cut(url) == len(DATA)
        hub.faults.body_longer, hub.faults.altered = 0, True
        altered = get(url).content
        assert (len(altered), altered != DATA) == (len(DATA), True)
        hub.faults.page = True
        assert get(url).content == PAGE


def cut(url: str) -> int:
    """How many bytes come."""
    count = 0
    with httpx.stream("GET", url, trust_env=False, timeout=30) as response:
        try:
            for chunk in response.iter_raw():
                count += len(chunk)
        except httpx.RemoteProtocolError:
            pass
    return count


def test_a_closed_repository_opens_to_its_token_and_notes_who_asked(tmp_path: Path) -> None:
    with ScriptedHub() as hub:
        hub.add(REPO, {"a.gguf": DATA}, gated=True, token="hf_right")
        url = f"{hub.url}/{REPO}/resolve/main/a.gguf"
        refused = get(url)
        assert (refused.status_code, refused.headers["x-error-code"]) == (401, "GatedRepo")
        assert get(url, Authorization="Bearer hf_wrong").status_code == 403
        assert get(url, Authorization="Bearer hf_right").status_code == 302
        assert hub.tokens() == {"Bearer hf_wrong", "Bearer hf_right"}
        assert [one.path for one in hub.bodies()] == [f"/{REPO}/resolve/main/a.gguf"] * 3
        assert hub.environment(tmp_path, token="hf_right")["HF_TOKEN"] == "hf_right"
