"""The curves of a report, with theory beside them. Needs matplotlib (the extra ``plots``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.protocol.base.settings import Settings
from mesh.wire.errors import MeshError
from simulations.measures import theory
from simulations.measures.falsedeaths.command import goal_at
from simulations.measures.troubles import AWAKE_WITHIN, LOSSY, LOSSY_SHARE, PAUSED, REMOVED_WITHIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Runs = Sequence[Mapping[str, Any]]
"""The result of each run, as in its JSON."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SHARES = [step / 200 for step in range(1, 200)]


def draw_all(folder: Path, runs: Runs, settings: Settings) -> list[str]:
    """Draw every curve that the runs hold data for, as PNG and SVG; returns the names without ending.

    Raises MeshError when matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError:
        raise MeshError(
            "Curves are drawn with matplotlib, which is not installed",
            "pip install 'frankenstein-mesh[plots]', or --no-curves",
        ) from None
    matplotlib.use("Agg")
    # The same data give the same files.
    matplotlib.rcParams["svg.hashsalt"] = "frankenstein-mesh"
    from matplotlib import pyplot

    drawn = []
    for name, draw in _CURVES.items():
        figure, axes = pyplot.subplots(figsize=(7.5, 4.6), layout="constrained")
        try:
            if draw(axes, runs, settings):
                figure.savefig(folder / f"{name}.png", dpi=130, metadata={"Software": None})
                figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
                drawn.append(name)
        finally:
            pyplot.close(figure)
    return drawn


def _named(runs: Runs, name: str) -> list[Mapping[str, Any]]:
    found = [run for run in runs if run["name"] == name]
    return sorted(found, key=lambda run: run["parameters"]["nodes"])


def _steps(axes: Axes, samples: Sequence[float], **style: Any) -> None:
    """The share of repeats that had ended by a time."""
    ordered = sorted(samples)
    axes.step(
        [ordered[0], *ordered],
        [0.0, *((number + 1) / len(ordered) for number in range(len(ordered)))],
        where="post",
        **style,
    )


def _times(
    axes: Axes,
    runs: Runs,
    kind: str,
    limit: Callable[[float, int, Settings], float],
    settings: Settings,
    colours: Sequence[str] = _COLOURS,
    what: str = "",
) -> bool:
    """One distribution for each size of pool, full; the limit at those settings, dashed."""
    told = [run for run in runs if kind in run["results"]]
    for colour, run in zip(colours, told, strict=False):
        nodes, samples = run["parameters"]["nodes"], run["results"][kind]["samples"]
        _steps(axes, samples, color=colour, label=f"{what}n = {nodes} ({len(samples)} repeats)")
        axes.plot([limit(share, nodes, settings) for share in _SHARES], _SHARES, "--", color=colour, lw=1)
    axes.set(ylabel="share of repeats", ylim=(0, 1.01))
    axes.set_xlim(left=0)
    _finish(axes)
    return bool(told)


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(framealpha=0.9, edgecolor="none")


def _silent(axes: Axes, runs: Runs, settings: Settings) -> bool:
    axes.set(
        title="A silent machine: known dead everywhere (dashed: limit of the settings)", xlabel="seconds"
    )
    return _times(axes, _named(runs, "detect"), "silent machine", theory.silent_crash_known, settings)


def _process(axes: Axes, runs: Runs, settings: Settings) -> bool:
    axes.set(title="A dead process: known dead everywhere (dashed: limit of the settings)", xlabel="seconds")
    return _times(axes, _named(runs, "detect"), "dead process", theory.dead_process_known, settings)


def _paused(axes: Axes, runs: Runs, settings: Settings) -> bool:
    axes.set(
        title="A pause of 5 s: alive again everywhere after waking\n(dashed: a refutation known everywhere)",
        xlabel="seconds",
    )
    axes.axvline(AWAKE_WITHIN, ls=":", color="black", label="goal for p99")
    return _times(axes, _named(runs, "detect"), PAUSED, theory.word_known, settings)


def _lossy(axes: Axes, runs: Runs, settings: Settings) -> bool:
    axes.set(
        title=f"{LOSSY_SHARE:.0%} lost one way: the last such member dead everywhere\n"
        "(dashed: limit of the settings for one that is silent)",
        xlabel="seconds",
    )
    axes.axvline(REMOVED_WITHIN, ls=":", color="black", label="goal for the slowest")
    told, limit = _named(runs, "detect"), theory.silent_crash_known
    inward = _times(axes, told, LOSSY["in"], limit, settings, _COLOURS, "in, ")
    outward = _times(axes, told, LOSSY["out"], limit, settings, _COLOURS[3:], "out, ")
    return inward or outward


def _failover(axes: Axes, runs: Runs, settings: Settings) -> bool:
    axes.set(
        title="The leader's machine falls silent: one new leader known everywhere\n(dashed: its death known)",
        xlabel="seconds",
    )
    return _times(axes, _named(runs, "failover"), "silent machine", theory.silent_crash_known, settings)


def _converge(axes: Axes, runs: Runs, settings: Settings) -> bool:
    told = _named(runs, "converge")
    sizes = [run["parameters"]["nodes"] for run in told]
    rounds = [run["results"]["rounds to all"] for run in told]
    axes.plot(
        sizes, [each.get("p99", each["maximum"]) for each in rounds], "o-", color=_COLOURS[0], label="p99"
    )
    axes.plot(sizes, [each["median"] for each in rounds], "s-", color=_COLOURS[2], label="median")
    closed = [theory.rounds_to_all(nodes) for nodes in sizes]
    axes.plot(sizes, closed, "--", color="grey", label="log4 n + ln(n)/3")
    axes.plot(sizes, [1.5 * each for each in closed], ":", color="black", label="goal: 1.5 x that")
    axes.set(title="A new fact everywhere", xlabel="members", ylabel="rounds of 100 ms", xscale="log")
    axes.set_ylim(bottom=0)
    _finish(axes)
    return bool(told)


def _join(axes: Axes, runs: Runs, settings: Settings) -> bool:
    told = _named(runs, "join")
    for colour, run in zip(_COLOURS, told, strict=False):
        samples = run["results"]["all know all"]["samples"]
        label = f"n = {run['parameters']['nodes']} ({len(samples)} repeats)"
        _steps(axes, samples, color=colour, label=label)
        rounds = theory.rounds_to_all(run["parameters"]["nodes"])
        starts = run["parameters"]["window"]
        axes.axvline(starts + rounds * settings.gossip_period, ls="--", color=colour, lw=1)
    axes.axvline(3.0, ls=":", color="black", label="goal for p99")
    axes.set(title="Everybody joins at once: all know all (dashed: all start, log4 n + ln(n)/3 rounds)")
    axes.set(xlabel="seconds", ylabel="share of repeats")
    axes.set_xlim(left=0)
    _finish(axes)
    return bool(told)


def _idle(axes: Axes, runs: Runs, settings: Settings) -> bool:
    told = _named(runs, "idle")
    sizes = [run["parameters"]["nodes"] for run in told]
    rates = [run["results"]["bytes a second and member"] for run in told]
    axes.plot(sizes, [each["maximum"] for each in rates], "o-", color=_COLOURS[0], label="busiest member")
    axes.plot(sizes, [each["mean"] for each in rates], "s-", color=_COLOURS[2], label="mean")
    goals = [run["goals"][0]["goal"] for run in told]
    axes.plot(sizes, goals, ":", color="black", label="goal")
    axes.axhline(
        theory.probe_bytes(settings), ls="--", color="grey", label="a ping and an answer each period"
    )
    axes.set(title="Sent while nothing happens", xlabel="members", ylabel="bytes a second", xscale="log")
    axes.set_ylim(bottom=0)
    _finish(axes)
    return bool(told)


def _false_deaths(axes: Axes, runs: Runs, settings: Settings) -> bool:
    points: dict[float, Mapping[str, Any]] = {}
    for run in _named(runs, "falsedeaths"):
        for loss in run["parameters"]["loss"]:
            points[loss] = run["results"][f"{loss:.0%} lost"]
    losses = sorted(points)
    percent = [100 * loss for loss in losses]

    def line(values: Sequence[float], style: str, colour: str, label: str) -> None:
        axes.plot(percent, values, style, color=colour, label=label)

    line([points[loss]["suspicions_estimated"] for loss in losses], "o-", _COLOURS[0], "suspicions")
    sampled = [points[loss]["sampled_upper"] or math.nan for loss in losses]
    line(sampled, "v-", _COLOURS[1], "false deaths, upper 95% bound, sampled")
    line([points[loss]["upper"] for loss in losses], "<-", _COLOURS[3], "the same, trusting no tilt")
    line([points[loss]["direct_upper"] for loss in losses], "^-", _COLOURS[4], "the same, by waiting alone")
    line([points[loss]["withdrawals_computed"] for loss in losses], "--", "grey", "withdrawals, computed")
    line([goal_at(loss) for loss in losses], ":", "black", "goal for false deaths")
    axes.set(
        title="Suspicions and false deaths", xlabel="% of datagrams lost", ylabel="a node-hour", yscale="log"
    )
    axes.set_ylim(bottom=1e-20)
    _finish(axes)
    return bool(points)


_CURVES: dict[str, Callable[[Axes, Runs, Settings], bool]] = {
    "silent-machine": _silent,
    "dead-process": _process,
    "pause": _paused,
    "one-way-loss": _lossy,
    "failover": _failover,
    "converge": _converge,
    "join": _join,
    "idle": _idle,
    "false-deaths": _false_deaths,
}
