"""A Node takes up what its machine persisted in that pool, and in no other."""

from dataclasses import replace

from mesh.wire.identity import pool_id
from tests.mesh.machines import Ground


async def test_a_node_takes_up_what_was_persisted_in_its_pool_alone(ground: Ground) -> None:
    anna = await ground.machine("anna")
    anna.found()
    assert anna.context.node_in(anna.own_pool).pool == anna.own_pool
    assert anna.context.node_in(pool_id(bytes(32))).pool is None


async def test_nodes_that_start_together_draw_different_numbers(ground: Ground) -> None:
    context = (await ground.machine("anna")).context
    first, second = (context.node_in(pool_id(bytes(32))) for _ in range(2))
    assert first.id == second.id == context.identity.id
    assert first._context.random.getrandbits(64) != second._context.random.getrandbits(64)
    assert replace(context, port=1).node_in(pool_id(bytes(32))).id == first.id
