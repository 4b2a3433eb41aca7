from collections.abc import Callable
from typing import Any

import pytest

from mesh.cli import values


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (values.memory, "60M", 60 << 20),
        (values.memory, "1.5GiB", 3 << 29),
        (values.duration, "24h", 86400.0),
        (values.duration, "90", 90.0),
        (values.duration, "7d", 604800.0),
        (values.port, "0", 0),
        (values.port, "65535", 65535),
        (values.positive, "3", 3),
        (values.natural, "0", 0),
        (values.layers, "alpha=8, beta=0", {"alpha": 8, "beta": 0}),
        (values.layers, "odd=name=2", {"odd=name": 2}),
        (values.rights, "own,work", ["work", "own"]),
        (values.host, "10.0.0.1", "10.0.0.1"),
        (values.host, "attic.local:50060", "attic.local:50060"),
        (values.host, "fd7a:115c::1", "fd7a:115c::1"),
        (values.host, "[::1]:50052", "[::1]:50052"),
        (values.token, " mesh1:abc\n", "mesh1:abc"),
    ],
)
def test_what_a_person_types_is_understood(convert: Callable[[str], Any], text: str, value: Any) -> None:
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (values.memory, "much"),
        (values.memory, "0"),
        (values.duration, "0h"),
        (values.duration, "1 year"),
        (values.port, "65536"),
        (values.port, "-1"),
        (values.port, "١"),
        (values.positive, "0"),
        (values.positive, "1.5"),
        (values.natural, "-1"),
        (values.layers, "alpha"),
        (values.layers, "alpha=x"),
        (values.layers, "=3"),
        (values.layers, "alpha=1,alpha=2"),
        (values.layers, ""),
        (values.rights, "work,root"),
        (values.rights, ""),
        (values.host, ""),
        (values.host, "no such host"),
        (values.host, "host:0"),
        (values.host, "host:70000"),
        (values.host, "host:port"),
        (values.host, "-x"),
        (values.token, "abc"),
        (values.token, "mesh1:a b"),
    ],
)
def test_nonsense_is_refused(convert: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        convert(text)


def test_an_invite_of_a_later_version_is_still_no_host_name() -> None:
    assert values.is_token("mesh2:abc")
    assert not values.is_token("mesh-host:50052")
