"""The API key: clients on other machines send it, and a file of the user's own holds it."""

from pathlib import Path

from mesh.wire.errors import MeshError

SHORTEST = 16
MAKE = "(umask 077; openssl rand -hex 16 > FILE) makes a good one"


def read_api_key(file: str | Path) -> str:
    """Read the key in ``file``. Raises MeshError when others can read the file, or it holds no key."""
    path = Path(file)
    try:
        mode = path.stat().st_mode
        content = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise MeshError(f"cannot read the API key {path}: {error.strerror}", MAKE) from error
    except UnicodeDecodeError as error:
        raise MeshError(f"{path} holds no API key", MAKE) from error
    if mode & 0o077:
        raise MeshError(f"others can read the API key {path}", f"chmod 600 {path}")
    if len(content) < SHORTEST or not content.isprintable() or " " in content:
        raise MeshError(f"{path} holds no API key: one word of at least {SHORTEST} characters", MAKE)
    return content
