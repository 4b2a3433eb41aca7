import json
from random import Random

from tests.fuzz.engine_fields import known_fields
from tests.fuzz.requests import random_request


def test_the_same_dice_make_the_same_requests() -> None:
    first, second = Random(5), Random(5)
    assert [random_request(first) for _ in range(50)] == [random_request(second) for _ in range(50)]


def test_all_fields_of_the_engine_are_asked_for_sooner_or_later() -> None:
    random, named = Random(6), set[str]()
    for _ in range(1500):
        _, _, body = random_request(random)
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        named |= set(value) if isinstance(value, dict) else set()
    assert set(known_fields()) <= named
