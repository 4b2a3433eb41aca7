"""What a person types as a host becomes a numeric address."""

import pytest

from mesh.net.resolve import resolve
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError


@pytest.mark.parametrize(
    ("typed", "endpoint"),
    [
        ("192.0.2.7", Endpoint("192.0.2.7", 50052)),
        ("192.0.2.7:60000", Endpoint("192.0.2.7", 60000)),
        ("2001:db8::7", Endpoint("2001:db8::7", 50052)),
        ("[2001:db8::7]:60000", Endpoint("2001:db8::7", 60000)),
    ],
)
async def test_numbers_are_taken_as_they_are(typed: str, endpoint: Endpoint) -> None:
    assert await resolve(typed, 50052) == endpoint


@pytest.mark.parametrize(("typed", "port"), [("localhost", 50052), ("localhost:60000", 60000)])
async def test_a_name_is_looked_up(typed: str, port: int) -> None:
    endpoint = await resolve(typed, 50052)
    assert endpoint.host in ("127.0.0.1", "::1")
    assert endpoint.port == port


@pytest.mark.parametrize("typed", ["no.such.name.invalid", "localhost:nine", "a" * 300, "", "host:99999"])
async def test_what_nobody_knows_is_an_error_that_says_what_to_type(typed: str) -> None:
    with pytest.raises(MeshError) as caught:
        await resolve(typed, 50052)
    assert "mesh join IP" in caught.value.hint
