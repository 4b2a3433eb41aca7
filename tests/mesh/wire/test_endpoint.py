import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("1.2.3.4", Endpoint("1.2.3.4", 50052)),
        ("1.2.3.4:80", Endpoint("1.2.3.4", 80)),
        ("::1", Endpoint("::1", 50052)),
        ("[::1]", Endpoint("::1", 50052)),
        ("[fe80::1%eth0]:80", Endpoint("fe80::1%eth0", 80)),
    ],
)
def test_addresses_are_read_with_and_without_a_port(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text, 50052) == endpoint


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_endpoint_reads_back_as_it_is_written(address: object, port: int) -> None:
    endpoint = Endpoint(str(address), port)
    assert Endpoint.parse(str(endpoint), 1) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:70000",
        "[::1",
        "[::1]x",
        "1.2.3.4:²",
        "[::1]:" + "1" * 5000,
    ],
)
def test_what_is_no_numeric_address_is_refused(text: str) -> None:
    with pytest.raises(MeshError):
        Endpoint.parse(text, 50052)
