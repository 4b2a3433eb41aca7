"""What /stats and the banner say. Pure."""

from mesh.cli.chat.answer_run import AnswerRun
from mesh.cli.commands.status import holder, layers
from mesh.cli.terminal import count
from mesh.control.operations import Status


def banner(status: Status) -> str:
    """Return two lines: the model and its state, who computes, and how to leave."""
    deployment = status["deployment"]
    model = "no model" if deployment is None else deployment["model"]
    if deployment is not None and deployment["state"] != "ready":
        model += f" ({deployment['state']}, {deployment['progress']:.0%})"
    return f"{model}, computed by {who_computes(status)}\n/help lists commands, Ctrl-D leaves"


def who_computes(status: Status) -> str:
    """Return such as ``alpha 0-11, beta 12-23 + head; beta leads``."""
    stages = status["plan"]["stages"] if status["plan"] else []
    shares = [f"{holder(one, status['members'])} {layers(one['layers'], one['head'])}" for one in stages]
    leader = status["leader"]
    return f"{', '.join(shares) or 'nobody yet'}; {leader['name'] if leader else 'nobody'} leads"


def stats_lines(run: AnswerRun) -> list[str]:
    """Return the lines about an answer."""
    times = run.measure.times()
    first, speed = times["first_token_seconds"], times["tokens_per_second"]
    lines = [
        f"first token   {'none came' if first is None else f'{first:.2f} s'}",
        f"answer        {count(times['tokens'], 'token')} in {times['seconds']:.2f} s"
        + ("" if speed is None else f", {speed:.1f} tokens/s")
        + (", cut" if run.cut else ""),
    ]
    pause = run.measure.longest_pause()
    why = "" if pause is None else f": {pause['reason']}"
    longest = times["longest_pause_seconds"]
    lines.append(f"longest pause {longest:.2f} s{why}")
    lines.append(f"computed by   {who_computes(run.status)}")
    return lines
