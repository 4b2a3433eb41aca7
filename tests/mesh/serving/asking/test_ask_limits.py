from leader.door.askers.limits import Limits
from mesh.control.sidecar_options import NodeOptions
from mesh.serving.asking.ask_limits import limits_of


def test_without_options_the_doors_own_limits_hold() -> None:
    assert limits_of(NodeOptions()) == Limits()


def test_each_option_sets_its_limit() -> None:
    options = NodeOptions(ask_in_flight=2, ask_queued=3, ask_tokens_per_minute=600, ask_limits_owners=True)
    assert limits_of(options) == Limits(2, 3, 600, owners=True)
