"""The reconciler: what to do next, given what is wanted and what runs. Pure.

``decide`` runs whenever something changed, and at ``again_at``. It is a list of rules, first match wins::

    not leading, nothing wanted, stopped     end the engine, give the leases back
    something else wanted than what runs     drain the running answers (bounded), end the engine
    running, a used worker's lease lost      end the engine, plan again
    ready, a move pays or is asked for       lease its workers, wait for a quiet moment, keep the
                                             conversations, end the engine, plan again
    running                                  keep the plan's leases, give back the others, report
    failed                                   end it; again after a pause that grows with failures in a row,
                                             elsewhere if that can be
    the model's file is elsewhere            hand over to a member that may lead and holds it; where none
                                             may, wait until a copy from one that holds it is complete
    own engine not ready                     wait for it, or hand over when it cannot be had
    else                                     lease all usable workers, plan, start

`leader.reconcile.rebalance` says which move pays; `leader.blame` which devices and plans failed. Those are
left out while others can serve. Where nothing else can, they are tried again, up to `GIVING_UP` times in a
row; from then on once their time is over. A worker that membership merely holds dead does not end a
plan that runs: the reconciler gives a pipeline up when it cannot go on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from leader.blame.quarantines import Exclusion
from leader.blame.shapes import shape
from leader.model.model_info import ModelInfo
from leader.placement.cost import Device
from leader.placement.infeasible import Infeasible
from leader.placement.planner import Plan, place
from leader.reconcile.rebalance import DRAIN, QUIET, SLIGHT, STABLE, better, members, pays, shares
from leader.reconcile.view import (
    Action,
    Decision,
    Drain,
    HandOver,
    MemberView,
    ReconcilerMemory,
    ReleaseLeases,
    Report,
    ResolveMove,
    Running,
    Start,
    Stop,
    View,
    Wanted,
    WantLeases,
)
from mesh.wire.amounts import span_text
from mesh.wire.states import EngineState, Phase

SETTLE: Final = 1.0  # seconds that a feasible plan waits for leases that would make it better
WORTH_WAITING: Final = 1.1  # times as fast: what a plan must gain from the missing leases
ASKING: Final = 5.0  # seconds that a requested move waits for its leases
FIRST_PAUSE: Final = 0.1  # seconds before the second start; doubles with each failure in a row
LONGEST_PAUSE: Final = 10.0
GOOD_RUN: Final = 30.0  # seconds; a pipeline that was ready this long resets the count of failures
GIVING_UP: Final = 3  # failures in a row from which the phase is "failed"; the reconciler still tries again
HANDOVER_AGAIN: Final = 5.0


def decide(now: float, view: View, memory: ReconcilerMemory) -> Decision:
    """What to do at ``now`` (seconds); hand the decision's memory to the next call."""
    decision = _decide(now, view, memory)
    served = view.leading and view.running is not None and view.running.phase is Phase.READY
    if view.asked and not (served and view.running and view.running.wanted == view.wanted):
        return replace(
            decision, actions=(*decision.actions, ResolveMove("nothing is served here that could move"))
        )
    return decision


def _decide(now: float, view: View, memory: ReconcilerMemory) -> Decision:
    wanted = view.wanted
    if not view.leading:
        return _idle(view, "does not lead any more", None)
    if wanted is None:
        return _idle(view, "nothing is deployed any more", None)
    if not wanted.running:
        return _idle(view, "was stopped", Report(Phase.STOPPED))
    if view.running is not None:
        return _running(now, view, view.running, wanted, memory)
    if memory.kept != wanted:
        memory = replace(memory, kept=None)  # another deployment's conversations do not wait for this one
    if view.model_info is None:
        return _without_file(now, view, wanted, memory)
    me = _member(view, view.me)
    if me is None or me.engine != EngineState.READY:
        return _without_engine(now, view, wanted, me, memory)
    return _plan(now, view, wanted, view.model_info, me, memory)


def _idle(view: View, reason: str, report: Report | None) -> Decision:
    actions: list[Action] = []
    if view.running is not None:
        actions.append(Stop(reason))
    actions += _release(view.leases)
    if report is not None:
        actions.append(report)
    return Decision(tuple(actions), ReconcilerMemory())


def _running(now: float, view: View, running: Running, wanted: Wanted, memory: ReconcilerMemory) -> Decision:
    used = members(running.plan)
    lost = used - view.leases
    if running.wanted != wanted:
        return _replaced(now, running, wanted, used, bool(lost), memory)
    if running.phase is Phase.FAILED:
        return _failed(now, view, running, memory)
    if lost:
        reason = f"lost {_names(view, lost)}"
        return Decision(
            (Stop(reason), Report(Phase.MOVING, 0.0, reason)),
            ReconcilerMemory(moved=reason, failures=memory.failures),
            now,
        )
    if running.phase is Phase.READY:
        return _ready(now, view, running, used, memory)
    phase = Phase.MOVING if memory.moved else Phase.LOADING
    report = Report(phase, running.progress, "; ".join(filter(None, (memory.moved, running.reason))))
    actions = (*_lease(view, used), report)
    return Decision(actions, ReconcilerMemory(asked=used, failures=memory.failures, moved=memory.moved))


def _replaced(
    now: float,
    running: Running,
    wanted: Wanted,
    used: frozenset[bytes],
    broken: bool,
    memory: ReconcilerMemory,
) -> Decision:
    """Something else is to run: the running answers may end first, if that is soon."""
    same = wanted.root == running.wanted.root
    what = f"{wanted.name} gets other settings" if same else f"{wanted.name} replaces {running.wanted.name}"
    since = now if memory.draining_since is None else memory.draining_since
    if running.phase is Phase.READY and running.answers and not broken and now < since + DRAIN:
        report = Report(Phase.LOADING, 0.0, f"{what} once {_answers(running)} given")
        return Decision(
            (WantLeases(used), Drain(), report), ReconcilerMemory(draining_since=since), since + DRAIN
        )
    return Decision(
        (Stop("something else is deployed"), Report(Phase.LOADING, 0.0, what)), ReconcilerMemory(), now
    )


def _ready(
    now: float, view: View, running: Running, used: frozenset[bytes], memory: ReconcilerMemory
) -> Decision:
    """The model is served; perhaps another placement should serve it."""
    since = now if memory.ready_since is None else memory.ready_since
    quiet = None if running.answers else now if memory.quiet_since is None else memory.quiet_since
    memory = ReconcilerMemory(
        asked=used,
        ready_since=since,
        failures=0 if now - since >= GOOD_RUN else memory.failures,
        quiet_since=quiet,
        better_since=memory.better_since,
        asked_since=memory.asked_since if view.asked else None,
        draining_since=memory.draining_since if view.asked else None,
    )
    me = _member(view, view.me)
    usable = [] if me is None else [member for member in view.members if why_unusable(member, me) is None]
    found = better(running.plan, _fit(view, _devices(usable)), running.wanted.layers)
    if found is not None and shape(found[0]) in view.failed_plans:
        found = None
    if view.asked:
        return _asked(now, view, running, used, found, memory)
    if found is None or not pays(found[1], now - since, running.load_seconds):
        return _stay(view, used, replace(memory, better_since=None))
    stable_since = now if memory.better_since is None else memory.better_since
    memory = replace(memory, better_since=stable_since)
    if now < stable_since + STABLE:
        return _stay(view, used, memory, again_at=stable_since + STABLE)
    best, gain = found
    needed = used | members(best)
    if not needed <= view.leases or quiet is None:
        return _stay(view, needed, memory)
    if now < quiet + QUIET:
        return _stay(view, needed, memory, again_at=quiet + QUIET)
    return _move(now, running, best, f"a placement {1 + gain:.1f} times as fast", keep=True)


def _asked(
    now: float,
    view: View,
    running: Running,
    used: frozenset[bytes],
    found: tuple[Plan, float] | None,
    memory: ReconcilerMemory,
) -> Decision:
    """A person requests the best placement, whether the move pays or not."""

    def refuse(text: str) -> Decision:
        decision = _stay(view, used, replace(memory, asked_since=None, draining_since=None))
        return replace(decision, actions=(*decision.actions, ResolveMove(text)))

    if found is None or found[1] < SLIGHT:
        return refuse(f"{running.wanted.name} is placed as well as it can be")
    best, gain = found
    needed = used | members(best)
    asked = now if memory.asked_since is None else memory.asked_since
    memory = replace(memory, asked_since=asked)
    if pending := needed - view.leases:
        if now >= asked + ASKING:
            return refuse(f"no lease from {_names(view, pending)}")
        return _stay(view, needed, memory, again_at=asked + ASKING)
    draining = now if memory.draining_since is None else memory.draining_since
    if view.asked != "now" and running.answers and now < draining + DRAIN:
        report = Report(Phase.MOVING, 0.0, f"moves once {_answers(running)} given")
        memory = replace(memory, draining_since=draining)
        return Decision((WantLeases(needed), Drain(), report), memory, draining + DRAIN)
    reason = f"a placement {1 + gain:.2f} times as fast"
    decision = _move(now, running, best, reason, keep=not running.answers)
    return replace(decision, actions=(ResolveMove(f"moves to {reason}"), *decision.actions))


def _stay(
    view: View, leased: frozenset[bytes], memory: ReconcilerMemory, again_at: float | None = None
) -> Decision:
    return Decision((*_lease(view, leased), Report(Phase.READY, 1.0)), memory, again_at)


def _move(now: float, running: Running, to: Plan, reason: str, keep: bool) -> Decision:
    target = tuple(sorted(shares(to).items()))
    memory = ReconcilerMemory(moved=reason, kept=running.wanted if keep else None, target=target)
    return Decision((Stop(reason, keep), Report(Phase.MOVING, 0.0, reason)), memory, now)


def _answers(running: Running) -> str:
    return "1 answer is" if running.answers == 1 else f"{running.answers} answers are"


def _lease(view: View, workers: frozenset[bytes]) -> tuple[Action, ...]:
    """Keep these leases, and those of members that are about to be judged; give back the others."""
    workers |= view.doubted
    return (WantLeases(workers), *_release(view.leases - workers))


def _failed(now: float, view: View, running: Running, memory: ReconcilerMemory) -> Decision:
    """llama-server ended. What served well and lost a worker is planned again at once.

    All else was a failure, whoever brought it about: pause, longer each time.
    """
    lost = [worker for worker in dict.fromkeys(running.plan.workers) if not _usable_worker(view, worker)]
    reason = _why_failed(view, running, lost)
    good = memory.ready_since is not None and now - memory.ready_since >= GOOD_RUN
    if lost and good:
        memory = ReconcilerMemory(moved=reason)
        return Decision((Stop(reason), Report(Phase.MOVING, 0.0, reason)), memory, now)
    failures = 1 if good else memory.failures + 1
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
    memory = ReconcilerMemory(failures=failures, retry_at=now + pause, last_failure=reason, moved=reason)
    return Decision((Stop(reason), _pause_report(memory)), memory, now + pause)


def _why_failed(view: View, running: Running, lost: Sequence[bytes]) -> str:
    """The reason, with what is known of its workers from earlier loads: their own last words, perhaps."""
    reason = running.reason
    if lost and not reason.startswith("lost "):
        reason = f"lost {_names(view, lost)}" + (f": {reason}" if reason else "")
    said = [
        f"{stage.device.name}: {left_out.reason}"
        for stage in running.plan.stages
        if (left_out := view.left_out.get(stage.device.key)) is not None and left_out.reason not in reason
    ]
    return "; ".join([reason, *dict.fromkeys(said)])


def _without_file(now: float, view: View, wanted: Wanted, memory: ReconcilerMemory) -> Decision:
    holders = [one for one in view.members if wanted.held_by(one.models) and one.id != view.me]
    me = _member(view, view.me)
    mine = frozenset() if me is None else me.models
    lacking = [name for root, name in wanted.names.items() if root not in mine] or [wanted.name]
    reason = f"this leader does not hold {' and '.join(lacking)}"
    if view.lost:
        reason = f"{view.lost} was moved, removed or changed"
    target = _best_leader(holders)
    if target is not None:
        return _hand_over(now, view, target, f"{target.name} holds {wanted.name}", memory)
    if view.copying is not None:
        sources = _names(view, [holder.id for holder in holders if holder.alive])
        copying = view.copying
        reason = f"copies {wanted.name}" + (sources and f" from {sources}")
        report = Report(Phase.COPYING, copying.fraction, f"{reason}: {copying.text()}")
        return Decision((*_release(view.leases), report), ReconcilerMemory())
    if holders:
        reason += "; it is held by " + ", ".join(
            f"{holder.name} ({_why_not_lead(holder)})" for holder in holders
        )
    elif all(any(root in one.models for one in view.members) for root in wanted.names):
        reason += "; no member holds all files, so they are copied together"
    else:
        reason += ", and no member holds it: bring it back or serve it again"
    return Decision((*_release(view.leases), Report(Phase.WAITING, 0.0, reason)), ReconcilerMemory())


def _without_engine(
    now: float, view: View, wanted: Wanted, me: MemberView | None, memory: ReconcilerMemory
) -> Decision:
    if me is not None and me.engine == EngineState.FAILED:
        others = [other for other in view.members if wanted.held_by(other.models) and other.id != view.me]
        target = _best_leader([other for other in others if other.engine == EngineState.READY])
        if target is not None:
            return _hand_over(now, view, target, f"{target.name} has an engine", memory)
        return Decision((Report(Phase.FAILED, 0.0, f"no engine here: {me.engine_reason}"),), memory)
    text = me.engine_reason if me is not None else ""
    return Decision(
        (Report(Phase.WAITING, 0.0, f"the leader's engine is being built{': ' + text if text else ''}"),),
        memory,
    )


def _hand_over(now: float, view: View, target: MemberView, reason: str, memory: ReconcilerMemory) -> Decision:
    again = now if memory.handed_over_at is None else memory.handed_over_at + HANDOVER_AGAIN
    report = Report(Phase.WAITING, 0.0, f"{reason}: it is asked to lead")
    if now < again:
        return Decision((report,), memory, again)
    actions: list[Action] = [*_release(view.leases), report, HandOver(target.id, reason)]
    return Decision(tuple(actions), ReconcilerMemory(handed_over_at=now), now + HANDOVER_AGAIN)


def _plan(
    now: float, view: View, wanted: Wanted, model_info: ModelInfo, me: MemberView, memory: ReconcilerMemory
) -> Decision:
    usable = [member for member in view.members if why_unusable(member, me) is None]
    asked = frozenset(member.id for member in usable)
    since = now if memory.asked_since is None else memory.asked_since
    memory = replace(memory, asked=asked, asked_since=since, ready_since=None, handed_over_at=None)
    leases = _lease(view, asked)

    def wait(report: Report, again_at: float | None = None) -> Decision:
        return Decision((*leases, report), memory, again_at)

    if now < memory.retry_at:
        return wait(_pause_report(memory), memory.retry_at)
    if absent := _absent(view, wanted, usable, me):
        return wait(Report(Phase.WAITING, 0.0, absent))
    pending = asked - view.leases
    granted = _devices(member for member in usable if member.id in view.leases)
    # The plan does not wait long for a worker that grants no lease, say because its sidecar just started.
    waits = bool(pending) and now < since + SETTLE
    all_of_them = _place(model_info, _fit(view, _devices(usable)), wanted)[0] if waits else None
    plan, refusal = _chosen(view, memory, model_info, granted, wanted, needs_failed=all_of_them is None)
    gains = plan is None or _speed(all_of_them) >= WORTH_WAITING * _speed(plan)
    if waits and gains and not (plan and memory.target):
        reason = f"asks {_names(view, pending)} to compute for it"
        return wait(Report(Phase.WAITING, 0.0, reason), since + SETTLE)
    if plan is None:
        reasons = [refusal]
        if pending:
            reasons.append(f"no lease yet from {_names(view, pending)}")
        if others := _others(view, me):
            reasons.append(f"not used: {others}")
        again = [now + one.seconds for one in view.left_out.values()]
        phase = Phase.FAILED if again and memory.failures >= GIVING_UP else Phase.WAITING
        return wait(Report(phase, 0.0, "; ".join(reasons)), min(again, default=None))
    phase = Phase.MOVING if memory.moved else Phase.LOADING
    start = Start(wanted, plan, restore=memory.kept is not None)
    return Decision(
        (*leases, start, Report(phase, 0.0, memory.moved)), replace(memory, asked_since=None, target=())
    )


def _absent(view: View, wanted: Wanted, usable: Sequence[MemberView], me: MemberView) -> str:
    """Who is to hold layers but cannot, and why; empty where all can."""
    keys = [key for key, count in wanted.layers.items() if count]
    if absent := frozenset(member for member, _ in keys) - {member.id for member in usable}:
        named = replace(view, members=tuple(member for member in view.members if member.id in absent))
        return f"who is to hold layers cannot: {_others(named, me) or _names(view, absent)}"
    there = {device.key for device in _devices(usable)}
    gone = [
        f"{_names(view, [member])}/{device}"
        for member, device in keys
        if device and (member, device) not in there
    ]
    return f"{', '.join(gone)} is to hold layers but is not there" if gone else ""


def _chosen(
    view: View,
    memory: ReconcilerMemory,
    model_info: ModelInfo,
    lent: Sequence[Device],
    wanted: Wanted,
    needs_failed: bool,
) -> tuple[Plan | None, str]:
    """The placement that a move was made for, if that is still possible, else the best one.

    The best one does without what failed. If that cannot be (``needs_failed``: nor with leases that are yet
    to come), what failed is tried again, a few times in a row.
    """
    devices: Sequence[Device] = _fit(view, lent)
    if memory.target:
        # A new search might choose another one: the comparison that decided the move ignored small gains.
        target = {device.key: 0 for device in devices} | dict(memory.target)
        plan, _ = _place(model_info, devices, replace(wanted, layers=target))
        if plan is not None and shape(plan) not in view.failed_plans:
            return plan, ""
    plan, refusal = _place(model_info, devices, wanted)
    if plan is None and needs_failed and len(devices) < len(lent) and memory.failures < GIVING_UP:
        devices = lent
        plan, refusal = _place(model_info, devices, wanted)
    if plan is not None and shape(plan) in view.failed_plans:
        return _changed(view, plan, devices, wanted), ""
    return plan, refusal


def _changed(view: View, failed: Plan, devices: Sequence[Device], wanted: Wanted) -> Plan:
    """The best plan without one of the devices of the one that failed; that very one if there is none."""
    used = [stage.device for stage in failed.stages if not stage.device.host]
    plans = [
        _place(failed.model_info, [device for device in devices if device.key != one.key], wanted)[0]
        for one in used
    ]
    others = [plan for plan in plans if plan is not None and shape(plan) not in view.failed_plans]
    return max(others, key=_speed, default=failed)


def _fit(view: View, devices: Sequence[Device]) -> list[Device]:
    """The devices that did not fail of late."""
    return [device for device in devices if device.key not in view.left_out]


def _place(model_info: ModelInfo, devices: Sequence[Device], wanted: Wanted) -> tuple[Plan | None, str]:
    """The plan, or None with what is missing."""
    try:
        return place(model_info, devices, wanted.settings, wanted.layers), ""
    except Infeasible as error:
        return None, error.message


def _speed(plan: Plan | None) -> float:
    return 0.0 if plan is None else plan.predicted_tokens_per_second


def _pause_report(memory: ReconcilerMemory) -> Report:
    phase = Phase.FAILED if memory.failures >= GIVING_UP else Phase.WAITING
    return Report(phase, 0.0, f"{memory.last_failure}; started again soon (failure {memory.failures})")


def why_never(member: MemberView) -> str | None:
    """Why ``member`` cannot hold layers for any leader, however long it waits; None when it can."""
    if not member.alive:
        return "is not reachable"
    if not member.work:
        return "does not work"
    return None


_ENGINES: Final[Mapping[str, str]] = {
    EngineState.MISSING: "has no engine yet",
    EngineState.BUILDING: "has no engine ready",
    EngineState.FAILED: "its engine failed",
}


def why_unusable(member: MemberView, me: MemberView) -> str | None:
    """Why ``member`` cannot hold layers for the leader ``me``; None when it can."""
    if (why := why_never(member)) is not None:
        return why
    if not member.reachable:
        return "is not reachable"
    if member.paused:
        return "is paused"
    if member.engine != EngineState.READY:
        return f"{_ENGINES[member.engine]}{': ' + member.engine_reason if member.engine_reason else ''}"
    if member.engine_version != me.engine_version:
        return f"has another llama.cpp ({member.engine_version})"
    if member.memory_offered <= 0:
        return "offers no memory"
    return None


def _devices(members: Iterable[MemberView]) -> list[Device]:
    return [device for member in members for device in member.devices]


def _usable_worker(view: View, worker: bytes) -> bool:
    member = _member(view, worker)
    return member is not None and member.alive and member.reachable and worker in view.leases


def _others(view: View, me: MemberView) -> str:
    """The members and devices that are not used, each with the reason."""
    reasons = [(member.name, why_unusable(member, me)) for member in view.members]
    told = [f"{name} ({why})" for name, why in reasons if why is not None]
    failed = [
        f"{device.name} ({why_left_out(view.left_out[device.key])})"
        for member in view.members
        if why_unusable(member, me) is None
        for device in member.devices
        if device.key in view.left_out
    ]
    return ", ".join([*told, *failed])


def why_left_out(left_out: Exclusion) -> str:
    """Such as ``left out for 2 min: its rpc-server was killed by SIGABRT``."""
    return f"left out for {span_text(left_out.seconds)}: {left_out.reason}"


def _best_leader(members: Iterable[MemberView]) -> MemberView | None:
    fit = [member for member in members if member.alive and member.reachable and member.lead]
    return min(
        fit,
        key=lambda member: (member.engine != EngineState.READY, -member.memory_offered, member.id),
        default=None,
    )


def _why_not_lead(member: MemberView) -> str:
    if not member.lead:
        return "may not lead"
    return "is not reachable"


def _member(view: View, identity: bytes) -> MemberView | None:
    return next((member for member in view.members if member.id == identity), None)


def _names(view: View, ids: Iterable[bytes]) -> str:
    known = {member.id: member.name for member in view.members}
    return ", ".join(sorted(known.get(identity, identity.hex()[:8]) for identity in ids))


def _release(workers: frozenset[bytes]) -> tuple[ReleaseLeases, ...]:
    return (ReleaseLeases(workers),) if workers else ()
