"""Addresses of 127.0.0.0/8 in place of hosts, where there is no root; a block of them for each lab."""

import random
import socket

# Whoever holds this port on the block's last address has the block. It is no port of a host.
_CLAIM = ("127.{}.{}.254", 50049)


def claim_block() -> tuple[str, socket.socket]:
    """A block "127.a.b" that no other lab uses, and the socket that keeps it so until it is closed."""
    for _ in range(100):
        block = random.randrange(1, 255), random.randrange(256)
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((_CLAIM[0].format(*block), _CLAIM[1]))
        except OSError:
            claim.close()
            continue
        return "127.{}.{}".format(*block), claim
    raise RuntimeError("no block of 127.0.0.0/8 could be claimed: does this system have them?")
