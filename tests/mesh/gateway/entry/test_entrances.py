"""Where the API listens, and who needs the key there."""

import pytest

from mesh.gateway.entry.entrances import Entrance, entrances, let_pass, listening_for
from mesh.gateway.replies import Reply
from mesh.wire.endpoint import Endpoint

KEY = "sesame-open-yourself"


async def guard(caller: Endpoint) -> Reply | None:
    return None


def test_without_listen_loopback_alone_is_open_and_guarded() -> None:
    assert entrances(None, 50080, guard) == [Entrance("127.0.0.1", 50080, None, guard)]
    assert entrances("127.0.0.3", 0, guard) == [Entrance("127.0.0.3", 0, None, guard)]
    assert entrances("10.0.0.1", 0, guard, None, KEY) == [Entrance("127.0.0.1", 0, None, guard)]


@pytest.mark.parametrize("listen", ["10.0.0.1", "0.0.0.0", "::", "127.0.0.2", "::1"])
def test_listen_opens_another_entrance_that_wants_the_key_of_everybody(listen: str) -> None:
    own, other = entrances(None, 50080, guard, listen, KEY)
    assert own == Entrance("127.0.0.1", 50080, None, guard)
    assert other == Entrance(listen, 50080, KEY, let_pass)


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost"])
def test_where_listen_is_loopback_itself_it_wants_the_key(listen: str) -> None:
    assert entrances(None, 50080, guard, listen, KEY) == [Entrance("127.0.0.1", 50080, KEY, let_pass)]


def test_one_socket_listens_at_all_addresses_of_a_port() -> None:
    own, anywhere = entrances(None, 50080, guard, "0.0.0.0", KEY)
    assert listening_for(own, [own, anywhere]) is anywhere
    assert listening_for(anywhere, [own, anywhere]) is anywhere
    six = Entrance("::1", 50080)
    assert listening_for(six, [six, anywhere]) is six
    free, free_anywhere = entrances(None, 0, guard, "0.0.0.0", KEY)
    assert listening_for(free, [free, free_anywhere]) is free


def test_the_key_is_not_shown_with_its_entrance() -> None:
    assert KEY not in repr(entrances(None, 0, guard, "10.0.0.1", KEY))
