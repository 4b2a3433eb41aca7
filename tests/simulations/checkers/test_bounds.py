from simulations import inside
from tests.simulations.checkers.pools import Watched


def test_a_datagram_that_is_too_large_is_caught() -> None:
    pool = Watched()
    pool.world.largest = 1201
    pool.checkers.bounds.scan()
    assert "bounds: a datagram of 1201 bytes was sent" in pool.said


def test_a_container_that_outgrows_every_bound_is_caught() -> None:
    pool = Watched()
    node = pool.hosts[1].node
    assert node is not None
    node._core._pending.update({("x", bytes([n % 256, n // 256])): (0, 0.0) for n in range(20_000)})
    pool.checkers.bounds.scan()
    assert "_pending of host1 holds 20" in pool.said


def test_a_calm_pool_must_hold_little() -> None:
    pool = Watched()
    node = pool.hosts[1].node
    assert node is not None
    node._core._pending.update({("x", bytes([n % 256, n // 256])): (0, 0.0) for n in range(2000)})
    pool.checkers.bounds.scan()
    assert pool.said == ""
    pool.checkers.bounds.calm()
    assert "in a calm pool" in pool.said


def test_every_container_of_a_node_is_found() -> None:
    node = Watched().hosts[0].node
    assert node is not None
    paths = {path for path, _ in inside.containers(node)}
    assert any(path.endswith("store._entries") for path in paths)
    assert any(path.endswith("membership.peers") for path in paths)
    assert any("peers[]" in path for path in paths)
