import pytest

from mesh.gateway.access import is_authorized, refused_host, refused_origin, refused_site


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:50080",
        "LOCALHOST.:1",
        "mesh.localhost:80",
        "127.0.0.1:50080",
        "127.9.9.9",
        "[::1]:9",
    ],
)
def test_names_and_addresses_of_this_machine_are_welcome_on_loopback(host: str) -> None:
    assert refused_host(host, "127.0.0.1") is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example:50080",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "",
        None,
        "a@localhost",
        "[::1",
    ],
)
def test_other_names_are_refused_on_loopback_for_they_may_be_rebound(host: str | None) -> None:
    assert refused_host(host, "127.0.0.1")
    assert refused_host(host, "::1")


def test_any_name_passes_on_an_address_that_is_not_loopback() -> None:
    assert refused_host("mesh.example", "10.0.0.1") is None


def test_requests_without_an_origin_come_from_no_foreign_page() -> None:
    assert refused_origin(None, "localhost:50080") is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:50080", "localhost:50080"),
        ("http://127.0.0.1", "127.0.0.1:80"),
        ("https://Mesh.example", "mesh.example:443"),
        ("http://[::1]:7", "[::1]:7"),
    ],
)
def test_our_own_pages_may_ask(origin: str, host: str) -> None:
    assert refused_origin(origin, host) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:3000",
        "null",
        "",
        "file://",
        "http://localhost:50080.evil.example",
    ],
)
def test_pages_of_other_sites_may_not_ask(origin: str) -> None:
    assert refused_origin(origin, "localhost:50080")


KEY = "sesame-open-yourself"
RIGHT = KEY.encode()


def test_the_key_is_a_bearer_token() -> None:
    for value in (b"Bearer " + RIGHT, b"bearer  " + RIGHT + b" "):
        assert is_authorized([(b"authorization", value)], KEY)
    for value in (
        b"Bearer sesame",
        b"Bearer " + RIGHT + b"!",
        b"Basic " + RIGHT,
        b"Bearer ",
        b"Bearer",
        RIGHT,
    ):
        assert not is_authorized([(b"authorization", value)], KEY)
    assert not is_authorized([], KEY)


@pytest.mark.parametrize("name", [b"x-api-key", b"api-key"])
def test_the_key_is_taken_where_clients_of_other_apis_send_it(name: bytes) -> None:
    assert is_authorized([(name, RIGHT)], KEY)
    assert not is_authorized([(name, b"Bearer " + RIGHT)], KEY)
    assert not is_authorized([(name, b"")], KEY)


def test_of_several_keys_one_that_is_right_suffices() -> None:
    right, wrong = (b"x-api-key", RIGHT), (b"authorization", b"Bearer sk-of-another-service")
    assert is_authorized([wrong, right], KEY)
    assert is_authorized([(b"x-api-key", b"no"), (b"authorization", b"Bearer " + RIGHT)], KEY)
    assert not is_authorized([wrong, (b"x-api-key", b"no"), (b"api-key", b"")], KEY)


def test_no_key_is_wanted_where_there_is_none() -> None:
    assert is_authorized([], None)


@pytest.mark.parametrize("site", [None, "none", "same-origin"])
def test_what_a_person_or_our_own_page_asks_for_is_served(site: str | None) -> None:
    assert refused_site(site, "/status", "cors") is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything new"])
def test_what_another_site_makes_a_browser_ask_for_is_refused_even_without_an_origin(site: str) -> None:
    for path, mode in (
        ("/status", "no-cors"),
        ("/status", "navigate"),
        ("/", "no-cors"),
        ("/v1/models", None),
    ):
        assert refused_site(site, path, mode)
    assert refused_site(site, "/", "navigate") is None, "a link to the dashboard is followed"
