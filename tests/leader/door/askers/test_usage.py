from leader.door.askers.accounts import Askers, Ticket
from leader.door.askers.blame import EngineDeaths
from leader.door.askers.usage import Usage, usage


def test_counts_and_deaths_of_a_member_come_together() -> None:
    askers, deaths = Askers(), EngineDeaths()
    ticket, waiting = (askers.begin(0.0, "bert", owner=False) for _ in range(2))
    assert isinstance(ticket, Ticket)
    assert isinstance(waiting, Ticket)
    ticket.started(1.0)
    ticket.received(10)
    ticket.sent(20)
    ticket.tokens(3, 4)
    waiting.refused()
    deaths.begin(1.0, "bert", b"digest")
    deaths.died(2.0)
    assert usage(12.0, askers, deaths) == {"bert": Usage(2, 1, 1, 1, 3, 4, 10, 20, 1, 50)}
