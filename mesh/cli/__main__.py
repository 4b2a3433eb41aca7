"""``python -m mesh.cli`` is the command ``mesh``."""

import sys

from mesh.cli.main import run

sys.exit(run())
