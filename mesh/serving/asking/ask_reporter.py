"""Who asks this leader: its counts for ``/metrics``, and lines in the log when a limit or a death strikes."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from leader.door.askers.accounts import Askers
from leader.door.askers.blame import EngineDeaths
from leader.door.askers.usage import usage
from leader.door.orders import Refused
from mesh.runtime.clock import now

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)

REST_SECONDS: Final = 60.0
"""Between two lines about refusals of one member."""

_COUNTED: Final = {
    "requests": "Requests of a member that came to this leader, the refused ones included.",
    "refused": "Requests of a member that this leader refused.",
    "prompt_tokens": "Tokens of a member's prompts.",
    "generated_tokens": "Tokens generated for a member.",
    "bytes_in": "Bytes of a member's requests.",
    "bytes_out": "Bytes of answers to a member.",
    "engine_deaths": "Deaths of llama-server while it had a request of the member.",
}
_PRESENT: Final = {
    "in_flight": "Requests of a member that are being answered.",
    "queued": "Requests of a member that wait.",
    "suspended_seconds": "For how long a member is suspended for deaths of llama-server.",
}


class AskReporter:
    """Reports on ``askers`` and ``deaths``; ``name_of`` gives a member's name for its id."""

    def __init__(self, askers: Askers, deaths: EngineDeaths, name_of: Callable[[str], str]) -> None:
        self._askers = askers
        self._deaths = deaths
        self._name_of = name_of
        self._logged: dict[str, float] = {}

    def refused(self, member: str, refused: Refused) -> None:
        """Log that a member's request was refused by its right, a limit or a death; one line a minute."""
        at = now()
        self._logged = {id: when for id, when in self._logged.items() if at - when < REST_SECONDS}
        if member not in self._logged:
            self._logged[member] = at
            log.warning("refused %s: %s (%s)", self._named(member), refused.message, refused.code)

    def engine_died(self, reason: str) -> None:
        """llama-server died of what it was asked: find who is to blame, and log it."""
        at = now()
        present = self._deaths.present(at)
        suspended = self._deaths.died(at)
        if present:
            log.warning("%s, during requests of %s", reason, ", ".join(map(self._named, present)))
        for member in suspended:
            seconds = self._deaths.suspended_seconds(at, member)
            log.warning("%s may not ask for %.0f s: llama-server died of it", self._named(member), seconds)

    def collect(self) -> "Iterable[Metric]":
        """Yield the counts by member for Prometheus."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts = usage(now(), self._askers, self._deaths)
        for kind, families in ((CounterMetricFamily, _COUNTED), (GaugeMetricFamily, _PRESENT)):
            for name, help_text in families.items():
                family = kind(f"mesh_asked_{name}", help_text, labels=["member"])
                for member, one in sorted(counts.items()):
                    family.add_metric([member], getattr(one, name))
                yield family

    def _named(self, member: str) -> str:
        return f"{self._name_of(member)} ({member})"
