"""What it costs to bring a conversation back: its KV cache from the disk, or its prefill. Pure.

It begins with guesses and learns from what was measured.
"""

from typing import Final

LEAST_TOKENS: Final = 64
"""Shorter conversations are computed again sooner than they are asked for."""
LOAD_OVERHEAD: Final = 0.005
"""Seconds of a load, however small it is."""
MOST_SECONDS: Final = 2.0
"""Of a load or a save: llama-server does nothing else meanwhile, and its watchdog waits no more than 5."""
MOST_USELESS: Final = 3
"""Loads in a row of which llama-server could use nothing. It cannot with a sliding window: what a prompt
needs beyond it is in checkpoints, which no file has."""
_WEIGHT: Final = 0.25  # of the newest figure
_LEAST_PREFILL: Final = 16  # tokens: a smaller prefill tells more of single steps than of prefill


class ParkingCost:
    """``bytes_per_token`` is what a slot's file has for each token, as far as it is known beforehand."""

    def __init__(self, bytes_per_token: float = 64 << 10) -> None:
        self._bytes_per_token = bytes_per_token
        self._seconds_per_byte = 1 / 200e6
        self._seconds_per_token = 1 / 500
        self._useless = 0

    def saw_file(self, tokens: int, size: int, seconds: float) -> None:
        """A slot of so many tokens was saved to a file, or loaded from it."""
        if tokens > 0 and size > 0 and seconds >= 0:
            self._bytes_per_token += _WEIGHT * (size / tokens - self._bytes_per_token)
            self._seconds_per_byte += _WEIGHT * (seconds / size - self._seconds_per_byte)

    def saw_prefill(self, tokens: int, seconds: float) -> None:
        """A prompt's last so many tokens were computed."""
        if tokens >= _LEAST_PREFILL and seconds >= 0:
            self._seconds_per_token += _WEIGHT * (seconds / tokens - self._seconds_per_token)

    def saw_use(self, tokens: int) -> None:
        """So many tokens of a loaded file were used."""
        self._useless = 0 if tokens else self._useless + 1

    def load_seconds(self, tokens: int) -> float:
        """How long a slot of so many tokens takes to load."""
        return LOAD_OVERHEAD + tokens * self._bytes_per_token * self._seconds_per_byte

    def prefill_seconds(self, tokens: int) -> float:
        """How long so many tokens take to compute."""
        return tokens * self._seconds_per_token

    def is_worth(self, tokens: int, spared: int) -> bool:
        """Whether to load ``tokens`` costs less than to compute the ``spared`` ones that only they have."""
        load = self.load_seconds(tokens)
        if self._useless >= MOST_USELESS or tokens < LEAST_TOKENS:
            return False
        return load < min(self.prefill_seconds(spared), MOST_SECONDS)
