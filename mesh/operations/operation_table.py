"""Which method answers which operation: the one list of all that the command line may ask."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from mesh.control import operations
from mesh.control.argument_types import arguments_of
from mesh.control.control_server import Emit, Handler
from mesh.operations.home import EmitEvent, Home
from mesh.operations.join_operations import JoinOperations
from mesh.operations.model_operations import ModelOperations
from mesh.operations.move_operations import MoveOperations
from mesh.operations.node_operations import NodeOperations
from mesh.operations.owner_operations import OwnerOperations
from mesh.operations.plan_operations import PlanOperations
from mesh.operations.pulling.pull_operations import PullOperations
from mesh.operations.serve_operations import ServeOperations
from mesh.operations.usage_operations import UsageOperations

Args = TypeVar("Args", bound=Mapping[str, Any])
Result = TypeVar("Result", bound=Mapping[str, Any])


class Bound(NamedTuple):
    """An operation and the handler that answers it on the control socket."""

    operation: operations.Operation[Any, Any]
    handler: Handler


class OperationTable:
    """All operations of one sidecar."""

    def __init__(self, home: Home) -> None:
        node, self.join, serve = NodeOperations(home), JoinOperations(home), ServeOperations(home)
        owner, models, pull = OwnerOperations(home), ModelOperations(home), PullOperations(home)
        self._bound = (
            bind(operations.INFO, node.info),
            bind(operations.STATUS, node.status),
            bind(operations.SHUTDOWN, node.shutdown),
            bind(operations.JOIN, self.join.join),
            bind(operations.LEAVE, self.join.leave),
            bind(operations.SERVE, serve.serve),
            bind(operations.STOP, serve.stop),
            bind(operations.MOVE, MoveOperations(home).move),
            bind(operations.PLAN, PlanOperations(home).plan),
            bind(operations.MODELS, models.models),
            bind(operations.PRUNE, models.prune),
            bind(operations.FIT, pull.fit),
            bind(operations.PLACE, pull.place),
            bind(operations.HOLD, pull.hold),
            bind(operations.FETCH, pull.fetch),
            bind(operations.INVITE, owner.invite),
            bind(operations.APPROVE, owner.approve),
            bind(operations.EVICT, owner.evict),
            bind(operations.USAGE, UsageOperations(home).usage),
        )

    def handlers(self) -> dict[str, Handler]:
        return {one.operation.name: one.handler for one in self._bound}

    def survive_hang_up(self) -> frozenset[str]:
        return frozenset(one.operation.name for one in self._bound if one.operation.survives_hang_up)


def bind(
    operation: operations.Operation[Args, Result],
    method: Callable[[Args, EmitEvent], Awaitable[Result]],
) -> Bound:
    """Bind the operation to ``method``, which is called once the arguments match their type."""

    async def handle(given: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        return await method(arguments_of(operation, given), emit)

    return Bound(operation, handle)
