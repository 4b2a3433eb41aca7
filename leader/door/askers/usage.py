"""What members have asked of this leader, as it is told to people and counted by others. Pure."""

from typing import NamedTuple

from leader.door.askers.accounts import Askers
from leader.door.askers.blame import EngineDeaths


class Usage(NamedTuple):
    """The counts of one member since this leader began to count; ``in_flight`` and ``queued`` are now."""

    requests: int
    in_flight: int
    queued: int
    refused: int
    prompt_tokens: int
    generated_tokens: int
    bytes_in: int
    bytes_out: int
    engine_deaths: int
    suspended_seconds: int


def usage(now: float, askers: Askers, deaths: EngineDeaths) -> dict[str, Usage]:
    """By the member's id, for all who have asked."""
    return {
        member: Usage(
            one.requests,
            one.in_flight,
            one.queued,
            one.refused,
            one.prompt_tokens,
            one.generated_tokens,
            one.bytes_in,
            one.bytes_out,
            deaths.deaths(member),
            round(deaths.suspended_seconds(now, member)),
        )
        for member, one in askers.accounts().items()
    }
