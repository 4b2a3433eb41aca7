"""The sidecar's own log: text or JSON lines, bounded on the disk."""

import json
import logging
import logging.handlers
import sys
import time

from mesh.control.paths import log_path
from mesh.control.sidecar_options import SidecarOptions

LIMIT = 2 << 20


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def log_to(options: SidecarOptions) -> None:
    """Log to the state directory, and to stderr as well if run in the foreground."""
    options.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    logging.raiseExceptions = False  # a log that a full disk does not take is no reason to complain to stderr
    formatter: logging.Formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    if options.log_format == "json":
        formatter = JsonLines()
    file = logging.handlers.RotatingFileHandler(
        log_path(str(options.state_dir)), maxBytes=LIMIT, backupCount=1, encoding="utf-8", delay=True
    )
    handlers: list[logging.Handler] = [file]
    if options.foreground:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    for chatty in ("httpx", "httpcore", "zeroconf"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
