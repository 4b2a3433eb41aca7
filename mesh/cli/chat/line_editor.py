"""The lines that people type: prompt_toolkit, with our keys and our history."""

from collections.abc import Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from mesh.cli.chat.prompt_history import PromptHistory

PROMPT, NEXT_LINE = "> ", "  "


class LineEditor:
    """Reads messages of one or more lines."""

    def __init__(self, history: PromptHistory) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=KeptHistory(history),
            multiline=True,
            key_bindings=_keys(),
            prompt_continuation=NEXT_LINE,
            enable_suspend=True,
        )

    def read(self) -> str:
        """Return a message. Raises EOFError at Ctrl-D, KeyboardInterrupt at Ctrl-C before any text."""
        return self._session.prompt(PROMPT)


class KeptHistory(History):
    """prompt_toolkit's view of the history in the file."""

    def __init__(self, kept: PromptHistory) -> None:
        super().__init__()
        self._kept = kept

    def load_history_strings(self) -> Iterable[str]:
        """Return the entries, the newest first."""
        return reversed(self._kept.load())

    def store_string(self, string: str) -> None:
        """Add an entry to the file."""
        self._kept.append(string)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def add_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def clear_or_interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return keys
