from collections.abc import Callable
from typing import Any

import pytest

from mesh.cli import option_values


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (option_values.duration, "24h", 86400.0),
        (option_values.duration, "90", 90.0),
        (option_values.duration, "7d", 604800.0),
        (option_values.positive, "3", 3),
        (option_values.natural, "0", 0),
        (option_values.tokens, "4096", 4096),
        (option_values.tokens, "8k", 8192),
        (option_values.tokens, "128K", 131072),
        (option_values.layers, "alpha=8, beta=0", {"alpha": 8, "beta": 0}),
        (option_values.layers, "odd=name=2", {"odd=name": 2}),
        (option_values.rights, "own,work, ask", ["work", "ask", "own"]),
        (option_values.host, "10.0.0.1", "10.0.0.1"),
        (option_values.host, "attic.local:50060", "attic.local:50060"),
        (option_values.host, "fd7a:115c::1", "fd7a:115c::1"),
        (option_values.host, "[::1]:50052", "[::1]:50052"),
        (option_values.token, " mesh1:abc\n", "mesh1:abc"),
    ],
)
def test_what_a_person_types_is_understood(convert: Callable[[str], Any], text: str, value: Any) -> None:
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (option_values.duration, "0h"),
        (option_values.duration, "1 year"),
        (option_values.duration, "9" * 400),
        (option_values.positive, "0"),
        (option_values.positive, "1.5"),
        (option_values.natural, "-1"),
        (option_values.tokens, "0"),
        (option_values.tokens, "0k"),
        (option_values.tokens, "8 k"),
        (option_values.tokens, "8M"),
        (option_values.tokens, "1.5k"),
        (option_values.tokens, "k"),
        (option_values.tokens, "\u0663"),
        (option_values.layers, "alpha"),
        (option_values.layers, "alpha=x"),
        (option_values.layers, "=3"),
        (option_values.layers, "alpha=1,alpha=2"),
        (option_values.layers, ""),
        (option_values.rights, "work,root"),
        (option_values.rights, ""),
        (option_values.host, ""),
        (option_values.host, "no such host"),
        (option_values.host, "host:0"),
        (option_values.host, "host:70000"),
        (option_values.host, "host:port"),
        (option_values.host, "-x"),
        (option_values.token, "abc"),
        (option_values.token, "mesh1:a b"),
    ],
)
def test_nonsense_is_refused(convert: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        convert(text)


def test_an_invite_of_a_later_version_is_still_no_host_name() -> None:
    assert option_values.is_token("mesh2:abc")
    assert not option_values.is_token("mesh-host:50052")
