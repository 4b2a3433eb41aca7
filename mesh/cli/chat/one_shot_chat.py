"""One prompt and its answer: for scripts, and for people in a hurry."""

import argparse
import os
import sys
import time
from functools import partial
from typing import BinaryIO, Final, TextIO

from mesh.cli.asking import print_json
from mesh.cli.chat.answer_run import AnswerRun
from mesh.cli.chat.answer_stream import AnswerStream
from mesh.cli.chat.chat_refusals import explain
from mesh.cli.chat.conversation import Conversation
from mesh.cli.chat.display import AnswerDisplay, LinesDisplay, TerminalDisplay, Write
from mesh.cli.chat.pool_questions import status_if_told, status_to_ask
from mesh.cli.options import UsageError
from mesh.cli.terminal import coloured, columns

SHORTER: Final = "ask about less, or have an owner serve it with more: mesh serve --ctx N"
MAX_PIPED: Final = 4 << 20
"""Bytes that are read from a pipe."""


def one_shot(args: argparse.Namespace, prompt: str) -> int:
    """Ask, and print the answer alone to standard output."""
    status = status_to_ask(args)
    conversation = Conversation(args.system or "")
    run = AnswerRun(_display(args.json), partial(status_if_told, args), time.monotonic, status)
    run.run(AnswerStream(status["api"], conversation.request(prompt)))
    if run.failed is not None:
        raise explain(run.failed, SHORTER)
    if args.json:
        print_json(run.facts())
    elif run.finish == "length":
        print("the answer ends here as the context is full", file=sys.stderr)
    return 0


def whole_prompt(words: list[str], pipe: BinaryIO | None) -> str:
    """Return the prompt of the command line, a blank line, and what is piped in. Raises UsageError."""
    parts = [" ".join(words).strip()]
    if pipe is not None:
        try:
            piped = pipe.read(MAX_PIPED + 1)
        except OSError as error:
            reason = f"cannot read standard input: {error.strerror or error}"
            raise UsageError(reason, "mesh chat PROMPT, or pipe a text into mesh chat") from None
        if len(piped) > MAX_PIPED:
            raise UsageError(
                f"more than {MAX_PIPED >> 20} MiB are piped in", "no context holds as much; send a part"
            )
        parts.append(piped.decode(errors="replace").strip("\r\n"))
    prompt = "\n\n".join(part for part in parts if part.strip())
    if not prompt:
        raise UsageError("there is nothing to ask", "mesh chat PROMPT, or pipe it in: echo Hello | mesh chat")
    return prompt


def _display(as_json: bool) -> AnswerDisplay:
    out, aside = (writer(stream) for stream in (sys.stdout, sys.stderr))
    if as_json:
        return LinesDisplay(lambda text: None, aside)
    if sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalDisplay(out, terminal_columns, colour=coloured(sys.stdout))
    return LinesDisplay(out, aside, on_terminal=sys.stdout.isatty())


def terminal_columns() -> int:
    """Return the width of the terminal that standard output is."""
    return columns() or 80


def writer(stream: TextIO) -> Write:
    """Return what writes to the stream at once."""

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write
