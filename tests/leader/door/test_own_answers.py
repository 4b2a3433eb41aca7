"""The door's own answers tell a client its limits, and nothing else."""

from leader.door.orders import EngineFacts
from leader.door.own_answers import own_answer

ENGINE = EngineFacts("tiny.gguf", 512, 2)


def test_props_tell_the_models_name_and_the_limits() -> None:
    assert own_answer("props", ENGINE) == {
        "default_generation_settings": {"n_ctx": 512},
        "total_slots": 2,
        "model_alias": "tiny.gguf",
    }


def test_slots_tell_how_many_there_are_and_how_long() -> None:
    assert own_answer("slots", ENGINE) == [{"id": 0, "n_ctx": 512}, {"id": 1, "n_ctx": 512}]
