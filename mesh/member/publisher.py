"""Keeps this machine's record in the pool and its announcement up to date."""

from leader.model.held_models import Models
from mesh.member.lending import Lending
from mesh.member.own_profile import is_worth_publishing, profile, reported_models
from mesh.net.discovery.interfaces import local_addresses
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import id_text
from mesh.wire.profile import Profile

PUBLISH_SECONDS = 2.0


class Publisher:
    """For one stay in a pool: call `first`, then `run`, which lasts until cancelled.

    ``lending`` has measured the memory before.
    """

    def __init__(
        self, context: NodeContext, driver: NodeDriver, work: WorkerLoop, models: Models, lending: Lending
    ) -> None:
        self._context = context
        self._driver = driver
        self._work = work
        self._models = models
        self._lending = lending
        self._published: Profile | None = None

    def first(self) -> Profile:
        """The record with which the node starts."""
        self._published = self._profile()
        return self._published

    async def run(self) -> None:
        """Publish each change that matters."""
        changes = self._context.changes
        seen = changes.count
        while True:
            fresh = self._profile()
            if is_worth_publishing(self._published, fresh):
                self._published = fresh
                self._driver.do(self._driver.node.publish, fresh)
            before = seen
            seen = await changes.wait(seen, PUBLISH_SECONDS)
            if seen == before:
                await self._lending.measure()

    async def announce(self) -> None:
        """Announce to machines nearby that this one is a member."""
        context = self._context
        addresses = local_addresses(context.options.bind)
        pool, node = id_text(self._driver.pool), id_text(self._driver.node.id)
        await context.discovery.announce(pool, node, context.port, context.options.name, addresses)

    def _profile(self) -> Profile:
        context = self._context
        self._lending.look()
        if self._lending.is_decided:
            self._work.lend(self._lending.offers.lent)
        addresses = [Endpoint(host, context.port) for host in local_addresses(context.options.bind)]
        wanted = self._driver.node.deployment()
        return profile(
            context.options,
            context.keeper.accelerator(),
            self._lending.memory,
            self._lending.offers.lent,
            context.keeper.engine,
            context.keeper.status(),
            self._work.ready,
            addresses,
            reported_models(self._models.held(), wanted),
            wanted,
        )
