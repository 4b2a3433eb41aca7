"""The door's own answers tell a client its limits, and nothing else."""

from leader.door.askers.limits import Limits
from leader.door.orders import EngineFacts
from leader.door.own_answers import own_answer

ENGINE = EngineFacts("tiny.gguf", 512, 2)


def test_props_tell_the_models_name_and_the_limits() -> None:
    assert own_answer("props", ENGINE, Limits(2, 3, 100)) == {
        "default_generation_settings": {"n_ctx": 512},
        "total_slots": 2,
        "model_alias": "tiny.gguf",
        "limits": {"in_flight": 2, "queued": 3, "tokens_per_minute": 100},
    }


def test_who_has_no_limits_is_told_none() -> None:
    told = own_answer("props", ENGINE, None)
    assert isinstance(told, dict)
    assert told["limits"] is None


def test_slots_tell_how_many_there_are_and_how_long() -> None:
    assert own_answer("slots", ENGINE, None) == [{"id": 0, "n_ctx": 512}, {"id": 1, "n_ctx": 512}]
