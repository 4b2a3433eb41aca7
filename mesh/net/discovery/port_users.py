"""Whose programs are connected from a port of this machine, as Linux tells.

A port can be that of several connections, of several users, if they go to different places.
"""

from pathlib import Path

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_ESTABLISHED = "01"


def users_of(port: int) -> set[int] | None:
    """The user ids; None where the system does not tell."""
    found: set[int] = set()
    for table in map(Path, _TABLES):
        try:
            found |= parse_users(table.read_text(), port)
        except FileNotFoundError:
            # No /proc at all, or no IPv6.
            continue
        except OSError:
            return None
    return found if Path(_TABLES[0]).exists() else None


def parse_users(table: str, port: int) -> set[int]:
    """The users with a connection from that port of any address, by one table of proc(5)."""
    suffix = f":{port:04X}"
    rows = (line.split() for line in table.splitlines()[1:])
    return {
        int(row[7])
        for row in rows
        if len(row) > 7 and row[1].endswith(suffix) and row[3] == _ESTABLISHED and row[7].isdigit()
    }
