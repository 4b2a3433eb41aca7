"""`mesh move`."""

from mesh.control.operations import MoveArgs, MoveResult
from mesh.operations.home import EmitEvent, Home, owned_pool
from mesh.operations.move import ask_leader
from mesh.wire.errors import MeshError


class MoveOperations:
    """Has the leader move the model, whether that is this machine or another."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def move(self, args: MoveArgs, emit: EmitEvent) -> MoveResult:
        pool = owned_pool(self._home, "move what runs", "ask an owner: mesh move there")
        claim = pool.node.leader()
        if claim is None:
            raise MeshError("the pool has no leader at present", "try again in a moment")
        if claim.author == pool.node.id:
            return {"text": await pool.leading.move(args["now"])}
        return {"text": await ask_leader(pool, claim.author, args["now"])}
