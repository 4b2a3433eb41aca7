"""Trying again, without waiting: the sleeps are only noted."""

from collections.abc import Callable

import pytest

from mesh.hub.downloader.persistence import LONGEST_PAUSE, MOST_WAITING, TRIES, TRIES_TO_REACH, Persistence
from mesh.hub.downloader.refusals import Broken, HttpRefusal, NeverBegun
from mesh.hub.hub_lines import HubError


class Trials:
    """What happens at each try, the last again and again."""

    def __init__(self, *outcomes: Exception | str, reached: bool = True) -> None:
        self.outcomes = list(outcomes)
        self.tries = 0
        self.slept: list[float] = []
        self.told: list[str] = []
        self.persistence = Persistence(self.told.append, sleep=self.slept.append, reached=reached)

    def attempt(self) -> str:
        outcome = self.outcomes[min(self.tries, len(self.outcomes) - 1)]
        self.tries += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def run(self, place: Callable[[], int] = lambda: 0) -> str:
        return self.persistence.run(self.attempt, place)


def busy(after: str) -> HttpRefusal:
    return HttpRefusal("https://hub/x", 429, {"Retry-After": after} if after else {})


def test_what_breaks_off_without_progress_is_tried_a_number_of_times() -> None:
    trials = Trials(Broken("cut"))
    with pytest.raises(Broken):
        trials.run()
    assert trials.tries == TRIES
    assert trials.slept == sorted(trials.slept)
    assert max(trials.slept) == LONGEST_PAUSE
    assert trials.told[0] == "cut; again"
    assert trials.told[-1] == "cut; again in 30 s"


def test_each_byte_more_gives_new_tries_and_the_same_bytes_again_do_not() -> None:
    trials = Trials(*[Broken("cut")] * 30, "whole")
    assert trials.run(lambda: trials.tries) == "whole"
    assert trials.slept == [0.5] * 30
    again = Trials(Broken("cut"))
    with pytest.raises(Broken):
        again.run(lambda: 5 if again.tries % 2 else 0)  # the server begins anew each time
    assert again.tries == TRIES


def test_a_server_of_which_nothing_was_heard_is_given_up_sooner() -> None:
    unheard = Trials(NeverBegun("no host"), reached=False)
    with pytest.raises(NeverBegun):
        unheard.run()
    assert unheard.tries == TRIES_TO_REACH
    heard = Trials(Broken("cut"), NeverBegun("no host"), reached=False)
    with pytest.raises(NeverBegun):
        heard.run()
    assert heard.tries == TRIES


def test_it_waits_as_long_as_asked_and_not_for_ever() -> None:
    trials = Trials(busy("12"), busy("40"), "whole")
    assert trials.run() == "whole"
    assert trials.slept == [12.0, 40.0]
    assert trials.told[0] == "the hub asks for patience: again in 12 s"
    endless = Trials(busy("0"))
    with pytest.raises(HubError) as caught:
        endless.run()
    assert caught.value.code == "busy"
    assert sum(endless.slept) == MOST_WAITING
    with pytest.raises(HubError, match="left alone for 9999 s"):
        Trials(busy("9999")).run()


def test_a_busy_server_that_names_no_time_is_tried_as_a_broken_one() -> None:
    trials = Trials(busy(""))
    with pytest.raises(HttpRefusal):
        trials.run()
    assert trials.tries == TRIES


@pytest.mark.parametrize(
    "final", [HttpRefusal("https://hub/x", 404, {}), NeverBegun("no", offline=True), HubError("wrong", "no")]
)
def test_what_another_try_does_not_help_ends_at_once(final: Exception) -> None:
    trials = Trials(final)
    with pytest.raises(type(final)):
        trials.run()
    assert (trials.tries, trials.slept) == (1, [])
