"""``mesh chat``."""

import argparse
import sys

from mesh.cli.options import Options, UsageError

DESCRIPTION = """\
Talk with the model that the pool serves. At a terminal it is a conversation; with a prompt, or piped text, it
is one answer, which alone goes to standard output. When the leader dies, the answer pauses and goes on."""
EXAMPLE = "  mesh chat\n  mesh chat 'Why is the sky blue?'\n  git diff | mesh chat 'What does this change?'"


def configure(options: Options) -> None:
    options.parser.add_argument(
        "prompt", metavar="PROMPT", nargs="*", help="what to ask; piped text follows it"
    )
    options.value("--system", metavar="TEXT", help="what the model is told beforehand")
    options.flag("--json", help="print one JSON object at the end: the answer, its times, who computed it")


def run(args: argparse.Namespace) -> int:
    piped = sys.stdin is not None and not sys.stdin.isatty()
    if not args.prompt and not piped and (args.json or not sys.stdin or not sys.stdout.isatty()):
        raise UsageError(
            "a conversation needs a terminal, and --json a prompt",
            "mesh chat PROMPT, or pipe it in: echo Hello | mesh chat",
        )
    if args.prompt or piped:
        from mesh.cli.chat.one_shot_chat import one_shot, whole_prompt

        return one_shot(args, whole_prompt(args.prompt, sys.stdin.buffer if piped else None))
    from mesh.cli.chat.interactive_chat import InteractiveChat

    return InteractiveChat(args).run()
