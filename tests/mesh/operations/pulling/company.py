"""Whole members on loopback: anna founds, bert is admitted; operations run at either."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import trio

from leader.placement.reading import read_model
from mesh.member.stay import Stay
from mesh.operations.home import Home
from mesh.operations.pulling.holding import hold
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.machines import Ground, Here
from tests.mesh.operations.homes import Events
from tests.waiting import until


class StayHome:
    """A sidecar as operations see it, in a whole stay."""

    def __init__(self, here: Here, stay: Stay) -> None:
        self.machine = here.context
        self.options = here.context.options
        self.state = here.state
        self.pool = stay


class Company:
    """Two members that know each other's records."""

    def __init__(self, anna: Here, bert: Here) -> None:
        self.machines = (anna, bert)
        self.anna, self.bert = (self._stay(here) for here in self.machines)

    def home(self, stay: Stay) -> Home:
        here = next(one for one in self.machines if one.stay is stay)
        return cast(Home, cast(Any, StayHome(here, stay)))

    async def hold(self, holder: Stay, files: Sequence[Path], other: Stay) -> Model:
        """Let one hold the model; returns when the other knows."""
        model = await hold(holder, read_model(files[0]), (), Events().emit)
        await until(lambda: self.knows(other, holder, lambda profile: model in profile.models))
        return model

    @staticmethod
    def _stay(here: Here) -> Stay:
        assert here.stay is not None
        return here.stay

    def knows(self, one: Stay, other: Stay, what: Callable[[Any], bool] = lambda profile: True) -> bool:
        """Whether the one holds the other for alive, with such a profile."""
        member = one.node.member(other.node.id)
        return (
            member is not None
            and member.state.value == "alive"
            and member.record is not None
            and what(member.record.profile)
        )


@asynccontextmanager
async def company(folder: Path, rights: Rights = ALL_RIGHTS) -> AsyncIterator[Company]:
    """In real time, for threads read files. Sockets are closed once every task has ended."""
    async with trio.open_nursery() as nursery:
        ground = Ground(nursery, folder)
        anna, bert = await ground.machine("anna"), await ground.machine("bert")
        with trio.fail_after(60):
            await nursery.start(anna.stays().run)
            admitted = await bert.search().by_host(anna.endpoint, anna.invite(rights=rights))
            await nursery.start(bert.stays(admitted).run)
            here = Company(anna, bert)
            pairs = ((here.anna, here.bert), (here.bert, here.anna))
            await until(lambda: all(here.knows(*pair, lambda profile: profile.rank > 0) for pair in pairs))
            yield here
        nursery.cancel_scope.cancel()
    ground.close()
