from mesh.gateway.connection import Request
from mesh.gateway.headers import end_to_end, forwarded_headers, request_headers


def request(**headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request("POST", b"/", "/", named, "127.0.0.1")


def test_keys_and_wishes_stay_here() -> None:
    keys = {"authorization": "Bearer k", "x_api_key": "k", "api_key": "k", "cookie": "k"}
    asked = request(**keys, x_mesh_resume="fast", x_mesh_patience="1", x_mine="1")
    assert request_headers(asked) == forwarded_headers(asked)
    assert forwarded_headers(asked) == [(b"host", b"localhost"), (b"x-mine", b"1")]


def test_a_body_that_is_written_anew_has_its_own_length_and_a_readable_answer() -> None:
    asked = request(content_length="5", accept_encoding="gzip", content_type="application/json")
    assert request_headers(asked) == [(b"host", b"localhost"), (b"content-type", b"application/json")]


def test_a_chunked_body_stays_chunked_when_it_passes_on() -> None:
    asked = request(transfer_encoding="Chunked")
    assert forwarded_headers(asked) == [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
    assert request_headers(asked) == [(b"host", b"localhost")]


def test_what_concerns_the_connection_ends_here() -> None:
    headers = [(b"connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"content-length", b"3"), (b"te", b"x")]
    assert end_to_end(headers) == [(b"content-length", b"3")]
