"""The conversation at a terminal: lines are typed, answers stream, commands with a slash steer."""

import argparse
import os
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from mesh.cli.asking import state_of
from mesh.cli.chat.answer_run import AnswerRun
from mesh.cli.chat.answer_stream import MOMENT, AnswerStream
from mesh.cli.chat.chat_refusals import explain
from mesh.cli.chat.conversation import Conversation
from mesh.cli.chat.display import AnswerDisplay, LinesDisplay, TerminalDisplay
from mesh.cli.chat.line_editor import LineEditor
from mesh.cli.chat.one_shot_chat import terminal_columns, writer
from mesh.cli.chat.pool_questions import status_if_told, status_to_ask
from mesh.cli.chat.prompt_history import PromptHistory
from mesh.cli.chat.slash_commands import TEXT_COLUMN, SlashCommand, UnknownSlash, read_slash, slash_help
from mesh.cli.chat.stats import banner, stats_lines
from mesh.cli.chat.waiting_reasons import WaitingReason
from mesh.cli.terminal import clean, coloured, columns, paint, wrapped
from mesh.wire.errors import MeshError

HISTORY_FILE: Final = "chat_history"
MOST_TRIES: Final = 5
"""Times that a prompt is asked while the leader takes no more requests."""
IMPATIENT: Final = 4
"""This many Ctrl-C in a row end a chat that hears none of them."""
EDITOR_LEFT: Final = b"\x1b[?2004l\x1b[?25h\x1b[0m\r\n"
"""What ends bracketed paste, shows the cursor, and begins a row: what the line editor does when it ends."""
LONGEST_RETRY: Final = 60.0
"""Seconds that are waited between two; a leader that wants more is told to the person."""


class InteractiveChat:
    """One conversation."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._conversation = Conversation(args.system or "")
        self._last: AnswerRun | None = None
        self._interrupts = Interrupts()

    def run(self) -> int:
        """Talk until the person leaves."""
        _say(banner(status_to_ask(self._args)))
        editor = LineEditor(PromptHistory(Path(state_of(self._args), HISTORY_FILE)))
        warned = False
        with self._interrupts, _unechoed():
            while True:
                try:
                    line = self._read(editor)
                except EOFError:
                    return 0
                if line is not None:
                    warned = False
                    if not self._do(line):
                        return 0
                elif warned:
                    return 0
                else:
                    warned = True
                    _say("Ctrl-C once more, Ctrl-D or /exit leaves")

    def _read(self, editor: LineEditor) -> str | None:
        """Return a line; None where Ctrl-C was typed in its place. Raises EOFError."""
        try:
            with self._interrupts.let_through():
                return editor.read()
        except KeyboardInterrupt:
            return None

    def _do(self, line: str) -> bool:
        """Carry out one line; False where the person leaves."""
        read = read_slash(line)
        if not line.strip():
            return True
        if read is None:
            self._ask(line.strip())
        elif isinstance(read, UnknownSlash):
            _say(f"there is no {read.word}; {read.hint}")
        elif read.name in ("exit", "quit"):
            return False
        else:
            self._command(read)
        return True

    def _command(self, command: SlashCommand) -> None:
        talk = self._conversation
        if command.name == "help":
            _say(slash_help())
        elif command.name == "system":
            talk.system = command.text or talk.system
            _say(f"the system text: {talk.system}" if talk.system else "there is no system text")
        elif command.name == "new":
            talk.forget()
            _say("the conversation begins anew")
        elif command.name == "stats":
            _say("there was no answer yet" if self._last is None else "\n".join(stats_lines(self._last)))
        elif command.name == "retry":
            last = talk.last_prompt()
            if last is None:
                _say("there is nothing to ask again")
            else:
                self._ask(last[0], again=last[1])

    def _ask(self, prompt: str, again: bool = False) -> None:
        """Ask, and show the answer or why there is none."""
        self._interrupts.clear()
        body = self._conversation.request(prompt, again=again)
        # What cannot be asked now can be asked again.
        self._conversation.answered(prompt, "", again=again)
        try:
            run = self._insist(body)
        except MeshError as error:
            _complain(error)
            return
        if run.text or run.failed is None:
            self._last = run
        for loss in run.losses:
            _say(f"({loss})")
        cut = run.cut or run.failed is not None
        self._conversation.answered(prompt, run.text, cut=cut, again=again)
        if run.cut or self._interrupts.came():
            _say("(cut)" if run.text else "(cut before it began)")
        elif run.failed is not None:
            why, early = explain(run.failed), "the answer ended early: " if run.text else ""
            _complain(MeshError(early + why.message, why.hint))
        elif run.finish == "length":
            _say("(the context is full: /new begins anew)")
        self._interrupts.clear()

    def _insist(self, body: dict[str, Any]) -> AnswerRun:
        """Ask, again while the leader takes no more requests. Raises MeshError where none can be asked."""
        for left in reversed(range(MOST_TRIES)):
            status = status_to_ask(self._args)
            run = AnswerRun(_display(), partial(status_if_told, self._args), time.monotonic, status)
            run.run(AnswerStream(status["api"], body), self._interrupts.came)
            failed = run.failed
            wait = failed.retry_after if failed is not None and failed.status == 429 else None
            if wait is None or wait > LONGEST_RETRY or not left or not self._waited(wait):
                break
        return run

    def _waited(self, seconds: float) -> bool:
        """Wait before the prompt is asked again; False where the person ended that."""
        reason = WaitingReason("the leader takes no more requests now, next try", False)
        display, until = _display(), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._interrupts.came():
            display.waiting(reason, left)
            time.sleep(min(MOMENT, left))
        display.end()
        return not self._interrupts.came()


def _display() -> AnswerDisplay:
    write = writer(sys.stdout)
    if os.environ.get("TERM") == "dumb":
        return LinesDisplay(write, write, on_terminal=True)
    return TerminalDisplay(write, terminal_columns, colour=coloured(sys.stdout))


def _say(text: str) -> None:
    """Print what is not the model's."""
    for line in text.splitlines():
        under = TEXT_COLUMN if line.startswith("  /") else len(line) - len(line.lstrip())
        text = wrapped(clean(line[under:]), columns(), " " * under)
        for row in (line[:under] + text).split("\n"):
            print(paint(row, "dim"), flush=True)


def _complain(error: MeshError) -> None:
    print(f"{paint('mesh:', 'red')} {wrapped(clean(error.message), columns(), ' ' * 6)}")
    if error.hint:
        print(f"{paint('hint:', 'dim')} {clean(error.hint)}", flush=True)


class Interrupts:
    """Has Ctrl-C noted while nothing is typed: in the middle of a write it would garble the screen.

    Where a line is read it is let through: the line editor takes it as a key, or is interrupted.
    """

    def __init__(self) -> None:
        self._times = 0

    def __enter__(self) -> "Interrupts":
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def came(self) -> bool:
        """Whether there was one since the last `clear`."""
        return self._times > 0

    def clear(self) -> None:
        """Begin anew."""
        self._times = 0

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Have it raise KeyboardInterrupt, also where one came just before."""
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self.came():
                self.clear()
                raise KeyboardInterrupt
            yield
        finally:
            signal.signal(signal.SIGINT, self._note)

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        self._times += 1
        if self._times >= IMPATIENT:
            raise KeyboardInterrupt


@contextmanager
def _unechoed() -> Iterator[None]:
    """Have the terminal not show what is typed while no line is read: it would stand amid an answer's text.

    It is kept for the next line, where Enter must arrive as the line editor knows it. A signal that ends
    programs ends this one here, with the terminal as it was; an exception in its place could be lost in the
    line editor, or where Python ignores them.
    """
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        yield
        return

    def leave(signal_number: int, frame: FrameType | None) -> NoReturn:
        with suppress(OSError, termios.error):  # the terminal may be gone
            termios.tcsetattr(terminal, termios.TCSANOW, before)
            os.write(sys.stdout.fileno(), EDITOR_LEFT)
        os._exit(128 + signal_number)

    handlers = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    unshown, untouched = ~(termios.ECHO | termios.ICANON), ~termios.ICRNL
    quiet = [before[0] & untouched, *before[1:3], before[3] & unshown, *before[4:]]
    termios.tcsetattr(terminal, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
