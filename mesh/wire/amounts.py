"""Bytes, rates and times to wait as people are told them, in every process in the same words."""


def size_text(count: int) -> str:
    """A number of bytes for people: ``612 MiB``, ``7.6 GiB``; at most three digits before a point."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1000 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def left_text(seconds: float) -> str:
    """A time to wait for people: ``14 s left``, ``3 min left``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 6000 else f"{min(seconds / 3600, 999):.0f} h left"


def span_text(seconds: float) -> str:
    """A length of time for people: ``40 s``, ``2 min``, ``1 h``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def rate_text(rate: float) -> str:
    """Bytes a second as links are told: ``11 MB/s``."""
    value, unit = (rate / 1e6, "MB/s") if rate >= 1e6 else (rate / 1e3, "kB/s")
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
