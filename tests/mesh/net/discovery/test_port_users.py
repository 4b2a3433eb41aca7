"""Whose connections leave from a port, by tables as Linux writes them."""

import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.net.discovery import port_users
from mesh.net.discovery.port_users import parse_users, users_of

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ESTABLISHED, TIME_WAIT, LISTENING = 1, 6, 10


def row(address: str, port: int, state: int, user: int) -> str:
    queues = "00000000:00000000 00:00000000 00000000"
    return (
        f"   0: {address}:{port:04X} 0100007F:C384 {state:02X} {queues} {user:5}        0 47 1 0000 100 0\n"
    )


V4, V6 = "0100007F", "0000000000000000FFFF00000100007F"


def test_the_users_of_established_connections_count_whatever_the_address() -> None:
    rows = [row(V4, 40001, ESTABLISHED, 0), row(V6, 40001, ESTABLISHED, 1000), row(V4, 40002, ESTABLISHED, 7)]
    assert parse_users(HEAD + "".join(rows), 40001) == {0, 1000}
    assert parse_users(HEAD + "".join(rows), 40003) == set()


@pytest.mark.parametrize("state", [TIME_WAIT, LISTENING])
def test_what_is_no_connection_any_more_or_yet_does_not_count(state: int) -> None:
    assert parse_users(HEAD + row(V4, 40001, state, 0), 40001) == set()


@given(st.text(), st.integers(1, 65535))
def test_a_table_that_is_none_names_nobody_or_somebody(table: str, port: int) -> None:
    assert all(user >= 0 for user in parse_users(table, port))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_system_tells_that_our_own_connection_is_ours() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        assert users_of(connection.getsockname()[1]) == {os.geteuid()}


def test_a_system_without_tables_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_users, "_TABLES", (str(tmp_path / "tcp"), str(tmp_path / "tcp6")))
    assert users_of(40001) is None
    (tmp_path / "tcp").write_text(HEAD)
    assert users_of(40001) == set()
