from simulations.checkers.verdicts import Verdicts
from simulations.world import World


def test_the_same_thing_is_said_once_and_not_too_much_in_all() -> None:
    world = World(1)
    verdicts = Verdicts(world)
    verdicts.say("terms", "host1 went back")
    world.run(1.0)
    verdicts.say("terms", "host1 went back")
    assert verdicts.said == ["0.000 terms: host1 went back"]
    for number in range(100):
        verdicts.say("terms", f"host{number} went back")
    assert len(verdicts.said) == 20
