"""The steps of the demo. One nursery owns the nodes; a signal cancels it at any moment, and all goes."""

import shutil
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from mesh.control.operations import INVITE, JOIN, MODELS, SERVE, JoinArgs, Status
from mesh.engine.detect import detect
from mesh.engine.engine_errors import EngineError
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Progress
from mesh.runtime.process import root_cause
from mesh.tools.demo.asked_answer import CONTEXT, QUESTION, amid_a_sentence, ask
from mesh.tools.demo.audience import Audience
from mesh.tools.demo.demo_folder import demo_folder
from mesh.tools.demo.demo_node import DemoNode
from mesh.tools.demo.lent_memory import LentMemory, lent_memory
from mesh.tools.demo.recorded_run import AnswerPiece, RecordedRun, Share, joined, megabytes
from mesh.tools.demo.step_failed import StepFailed
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from mesh.tools.speaking_model import speaking_model
from mesh.wire.errors import MeshError

NAMES: Final = ("alpha", "bravo", "charlie")
STEP_SECONDS: Final = 120.0
"""For each step but the first two, which depend on the network and the processor."""
GENERATED: Final = ModelSpec(layers=24)
GENERATED_BYTES: Final = 66_000_000


class StoppedBySignal(BaseException):
    """The demo was stopped by a signal, whose number it has, and has removed everything."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Performance:
    """One run of the demo in ``folder``, which is its own."""

    def __init__(self, folder: Path, audience: Audience) -> None:
        self.folder = folder
        self.audience = audience
        self.timings: dict[str, float] = {}
        self.nodes: dict[str, DemoNode] = {}
        self.step = "beginning"

    @contextmanager
    def timed(self, step: str, heading: str) -> Iterator[None]:
        """A step with its heading; what it takes is noted."""
        self.step = heading
        self.audience.heading(heading)
        began = time.monotonic()
        yield
        self.timings[step] = time.monotonic() - began

    @contextmanager
    def limited(self, step: str, heading: str) -> Iterator[None]:
        """A step that may take two minutes. Raises MeshError if it takes longer."""
        try:
            with trio.fail_after(STEP_SECONDS), self.timed(step, heading):
                yield
        except trio.TooSlowError:
            raise StepFailed(f"it took longer than {STEP_SECONDS:.0f} s") from None

    async def run(self) -> RecordedRun:
        """All steps. Raises MeshError when one fails; whatever happens, no node is left."""
        with self.timed("engine", "The engine, llama.cpp"):
            await self.get_engine()
        with self.timed("model", "A model"):
            model = await self.get_model()
            lent = await trio.to_thread.run_sync(lent_memory, model, CONTEXT)
            self.audience.line(
                f"{model.stem}, a file of {megabytes(_bytes(model))};"
                f" to run it takes {megabytes(lent.needed)}"
            )
        async with trio.open_nursery() as nursery:
            with self.limited("join", "Three machines, each a process of its own on loopback"):
                await self.join(nursery, lent)
            run = await self.perform(model, lent)
            nursery.cancel_scope.cancel()
        return run

    async def perform(self, model: Path, lent: LentMemory) -> RecordedRun:
        """What the audience came for, in a pool of three."""
        first_leader, *others = self.nodes.values()
        gateway = others[0]
        with self.limited("serve", "The model, split over them"):
            status = await self.serve(first_leader, model)
            before = self.show(status)
        with self.limited("copy", "A second machine copies the model's file, so that any one may die"):
            await self.second_copy(first_leader)
        with self.limited("first_answer", f"You ask {gateway.name}, which does not lead"):
            self.audience.line(QUESTION)
            api = (await gateway.status())["api"]
            undisturbed = [piece async for piece in self.heard(api)]
            if not undisturbed:
                raise StepFailed(f"the gateway of {gateway.name} gives an empty answer")
            self.audience.line(f"{len(undisturbed)} tokens in {undisturbed[-1].seconds:.1f} s")
        with self.limited("second_answer", f"You ask again, and {first_leader.name} dies in the middle"):
            whole = joined(undisturbed)
            disturbed, killed_after, killed_seconds = await self.disturb(first_leader, api, whole)
        with self.limited("failover", "What happened"):
            status = await gateway.status_when(lambda status: _serves_without(status, first_leader.name))
            after = self.show(status)
        return RecordedRun(
            model=model.stem,
            model_bytes=_bytes(model),
            question=QUESTION,
            gateway=gateway.name,
            lent={node.name: _lends(node, first_leader, lent) for node in self.nodes.values()},
            before=before,
            after=after,
            first_leader=first_leader.name,
            second_leader=next(share.name for share in after if share.leads),
            undisturbed=undisturbed,
            disturbed=disturbed,
            killed_after=killed_after,
            killed_seconds=killed_seconds,
            timings=self.timings,
        )

    # --- the steps --------------------------------------------------------------------------------

    async def get_engine(self) -> None:
        backend = await trio.to_thread.run_sync(detect)

        def report(progress: Progress) -> None:
            if progress.stage != "ready":
                event = {"text": progress.text, "progress": progress.fraction}
                self.audience.progress(event | {"eta_seconds": progress.eta_seconds})

        engine = await ensure(backend, cache_dir(), report)
        self.audience.line(f"release {engine.commit}, {engine.origin} for {backend.name}")

    async def get_model(self) -> Path:
        """The model that speaks, else a generated one."""

        def report(done: int, total: int | None) -> None:
            if total is not None:
                self.audience.progress({"text": f"downloading {megabytes(total)}", "progress": done / total})

        try:
            return await speaking_model(report=report)
        except EngineError as error:
            self.audience.line(f"{error.message}")
            self.audience.line("so here is one that was made by chance: it babbles, and shows the same")
        path = self.folder / "babbling.gguf"
        spec = spec_of_size(GENERATED_BYTES, GENERATED)
        await trio.to_thread.run_sync(generate, path, spec)
        return path

    async def join(self, nursery: trio.Nursery, lent: LentMemory) -> None:
        """Found a pool with the first node, let the others join, and wait until it knows all."""
        for name in NAMES:
            memory = lent.leader if name == NAMES[0] else lent.other
            self.nodes[name] = node = DemoNode(name, self.folder, memory)
            nursery.start_soon(node.run)
        first, *others = self.nodes.values()
        await self._enter(first, {"found": True})
        invite = await first.ask(
            INVITE.request({"rights": ["work", "ask", "lead", "own"], "expires": 3600.0, "uses": len(others)})
        )
        for node in others:
            await self._enter(node, {"token": invite["token"]})
        status = await first.status_when(_all_can_compute)
        for member in sorted(status["members"], key=lambda member: member["name"]):
            lends = f"lends {megabytes(member['memory']['offered'])}"
            self.audience.line(f"{member['name']:<8} {member['address']:<16} {lends}")

    async def _enter(self, node: DemoNode, request: JoinArgs) -> None:
        await node.is_up()
        await node.ask(JOIN.request(request))

    async def serve(self, leader: DemoNode, model: Path) -> Status:
        request = SERVE.request(
            {"model": str(model), "context": CONTEXT, "slots": 1, "layers": None, "wait": True}
        )

        def report(event: Mapping[str, Any]) -> None:
            if "progress" in event:  # what it waits for lasts no second here
                self.audience.progress(event)

        await leader.ask(request, report)
        return await leader.status_when(lambda status: _serves_without(status, ""))

    async def second_copy(self, node: DemoNode) -> None:
        """Wait until a second node holds the file, which the pool ensures by itself."""
        while True:
            [model] = (await node.ask(MODELS.request({})))["models"]
            if len(model["members"]) > 1:
                break
            await trio.sleep(0.1)
        names = {member["id"]: member["name"] for member in (await node.status())["members"]}
        holders = sorted(names[member] for member in model["members"])
        self.audience.line(f"{' and '.join(holders)} hold it")

    def show(self, status: Status) -> list[Share]:
        shares = shares_of(status)
        for share in shares:
            first, last = share.layers or (None, None)
            holds = "no layers" if first is None else f"layers {first:>2} to {last:>2}"
            head = " and the head" if share.head else ""
            leads = ", and leads" if share.leads else ""
            self.audience.line(f"{share.name:<8} {holds}{head}, {megabytes(share.bytes)}{leads}")
        return shares

    async def heard(self, api: str) -> AsyncGenerator[AnswerPiece]:
        """The pieces of an answer; the audience hears them too."""
        try:
            async with aclosing(ask(api)) as pieces:
                async for piece in pieces:
                    self.audience.piece(piece.text)
                    yield piece
        finally:
            self.audience.answer_ends()

    async def disturb(self, leader: DemoNode, api: str, whole: str) -> tuple[list[AnswerPiece], int, float]:
        """The answer, and after how many pieces and seconds ``leader`` was killed."""
        pieces: list[AnswerPiece] = []
        killed_after, killed_seconds = 0, 0.0
        async with aclosing(self.heard(api)) as heard:
            async for piece in heard:
                pieces.append(piece)
                if not killed_after and amid_a_sentence(joined(pieces), whole):
                    leader.kill()
                    killed_after, killed_seconds = len(pieces), piece.seconds
                    self.audience.killed(leader.name)
        if not killed_after:
            raise StepFailed(
                "the answer ended before the leader could be killed", f"it was: {joined(pieces)}"
            )
        return pieces, killed_after, killed_seconds


def _lends(node: DemoNode, leader: DemoNode, lent: LentMemory) -> int:
    return lent.leader if node is leader else lent.other


def _all_can_compute(status: Status) -> bool:
    alive = [member for member in status["members"] if member["state"] == "alive"]
    ready = [member for member in alive if member["llama_cpp"] is not None]
    return len(ready) == len(NAMES) and status["leader"] is not None


def _serves_without(status: Status, former: str) -> bool:
    leader, deployment = status["leader"], status["deployment"]
    ready = deployment is not None and deployment["state"] == "ready" and status["plan"] is not None
    return ready and leader is not None and leader["name"] != former


def shares_of(status: Status) -> list[Share]:
    """Who holds which layers, of a pool that serves."""
    names = {member["id"]: member["name"] for member in status["members"]}
    plan, leader = status["plan"], status["leader"]
    assert plan is not None
    assert leader is not None
    shares = []
    for stage in plan["stages"]:
        first, last = stage["layers"]
        layers = (first, last) if first <= last else None
        leads = stage["member"] == leader["id"]
        shares.append(Share(names[stage["member"]], layers, stage["head"], stage["bytes"], leads))
    return shares


def _bytes(file: Path) -> int:
    return file.stat().st_size


def main(audience: Audience) -> RecordedRun:
    """Run the demo.

    Raises MeshError for a step that failed, with where its logs are kept, `StoppedBySignal`, and what the
    audience raises. Whatever happens, no process and no folder is left but these logs.
    """
    try:
        return trio.run(_until_signal, audience)
    except BaseException as error:
        cause = root_cause(error)
        raise cause from (None if isinstance(cause, MeshError | StoppedBySignal | OSError) else error)


async def _until_signal(audience: Audience) -> RecordedRun:
    """A signal that ends programs cancels all, at any moment; further ones change nothing."""
    caught: list[int] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                async for number in signals:
                    caught.append(number)
                    scope.cancel()

            with trio.CancelScope() as scope:
                nursery.start_soon(watch)
                run = await _in_folder(audience)
            nursery.cancel_scope.cancel()
    if caught:
        raise StoppedBySignal(caught[0])
    return run


async def _in_folder(audience: Audience) -> RecordedRun:
    with demo_folder() as folder:
        return await _perform(Performance(folder, audience))


async def _perform(performance: Performance) -> RecordedRun:
    try:
        return await performance.run()
    except Exception as error:
        cause = root_cause(error)
        if not isinstance(cause, MeshError):
            raise
        kept = keep_logs(performance.folder)
        where = "" if kept is None else f"the logs are kept in {kept}"
        hint = "; ".join(part for part in (cause.hint, where) if part)
        raise StepFailed(
            f"the demo failed at this step: {performance.step}\n{cause.message}", hint
        ) from cause
    finally:
        for node in performance.nodes.values():
            node.clean()


def keep_logs(folder: Path) -> Path | None:
    """Keep the logs of a failed step when the demo's folder is removed; None where there are none."""
    logs = [log for name in NAMES for log in (folder / name).glob("*.log")]
    if not logs:
        return None
    kept = Path(tempfile.mkdtemp(prefix="mesh-demo-logs-"))
    for log in logs:
        shutil.copy(log, kept / f"{log.parent.name}-{log.name}")
    return kept
