from leader.door.routes import ROUTES, Purpose


def test_paths_have_no_byte_that_the_engine_would_decode() -> None:
    plain = set(b"abcdefghijklmnopqrstuvwxyz0123456789/_-")
    assert all(set(path) <= plain and path.startswith(b"/") for path in ROUTES)


def test_looking_is_by_get_and_asking_by_post() -> None:
    looks = {path for path, route in ROUTES.items() if route.asked in (Purpose.LOOK, Purpose.OWN)}
    assert {path for path, route in ROUTES.items() if route.method == "GET"} == looks
