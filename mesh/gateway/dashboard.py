"""The page at ``/``: one file that loads nothing from elsewhere; only its own script may run in it."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from mesh.gateway.replies import Reply, reply


@cache
def dashboard() -> Reply:
    """Read the page once, and allow its one style and one script by hash (Content Security Policy)."""
    page = files("mesh.gateway").joinpath("dashboard.html").read_bytes()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(page, 'style')}",
            f"script-src {_hash(page, 'script')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return reply(200, "text/html; charset=utf-8", page, [(b"content-security-policy", policy.encode())])


def _hash(page: bytes, element: str) -> str:
    found = re.search(rf"<{element}>(.*?)</{element}>".encode(), page, re.DOTALL)
    if found is None:
        raise ValueError(f"the page has no <{element}>")
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"
