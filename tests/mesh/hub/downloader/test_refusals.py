"""What a refusing server says of itself."""

from datetime import UTC, datetime

import pytest

from mesh.hub.downloader.refusals import HttpRefusal, asked_wait, in_words, shown

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "Mon, 30 Nov 2026 12:01:00 GMT"}, 60.0),
        ({"retry-after": "Mon, 30 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"ratelimit": '"api";r=0;t=55', "retry-after": "3"}, 55.0),
        ({"ratelimit": '"api";r=7;t=55', "retry-after": "3"}, 3.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "²"}, None),
        ({}, None),
    ],
)
def test_the_wait_is_read_from_what_servers_say(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://user:word@host:8443/a/b.gguf?key=1#x", "https://host:8443/a/b.gguf"),
        ("https://[::1]:80/a", "https://[::1]:80/a"),
        ("https://host:port/a", "the address"),
        ("https://[::1/a", "the address"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, seen: str) -> None:
    assert shown(url) == seen


@pytest.mark.parametrize(("status", "passing"), [(429, True), (503, True), (408, True), (404, False)])
def test_some_refusals_pass(status: int, passing: bool) -> None:
    refused = HttpRefusal(
        "https://host/a?key=1", status, {"X-Error-Code": "Code", "X-Error-Message": "words"}
    )
    assert (refused.passing, refused.code, refused.message) == (passing, "Code", "words")
    assert str(refused) == f"https://host/a answers {status}"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[Errno 111] Connection refused", "connection refused"),
        ("[Errno -2] Name or service not known", "no host of that name is known"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unknown (_ssl.c:1006)",
            "certificate verify failed: unknown",
        ),
        ("", "OSError"),
    ],
)
def test_an_error_of_the_network_is_told_without_its_numbers(said: str, words: str) -> None:
    assert in_words(OSError(said)) == words
