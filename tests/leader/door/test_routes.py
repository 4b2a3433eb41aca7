import pytest

from leader.door.orders import ErrorShape
from leader.door.routes import ROUTES, Purpose, shape_of


def test_paths_have_no_byte_that_the_engine_would_decode() -> None:
    plain = set(b"abcdefghijklmnopqrstuvwxyz0123456789/_-")
    assert all(set(path) <= plain and path.startswith(b"/") for path in ROUTES)


def test_looking_is_by_get_and_asking_by_post() -> None:
    looks = {path for path, route in ROUTES.items() if route.asked in (Purpose.LOOK, Purpose.OWN)}
    assert {path for path, route in ROUTES.items() if route.method == "GET"} == looks


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (b"/v1/messages", ErrorShape.ANTHROPIC),
        (b"/v1/messages/batches", ErrorShape.ANTHROPIC),
        (b"/v1/responses", ErrorShape.RESPONSES),
        (b"/responses", ErrorShape.RESPONSES),
        (b"/v1/chat/completions", ErrorShape.OPENAI),
        (b"/nothing", ErrorShape.OPENAI),
    ],
)
def test_errors_have_the_shape_of_the_path_also_where_there_is_none(path: bytes, shape: ErrorShape) -> None:
    assert shape_of(path) is shape
    if path in ROUTES:
        assert ROUTES[path].shape is shape
