"""All harnesses by name."""

from tests.fuzz.harness import Harness
from tests.fuzz.harnesses import admission, disk, door, files, http, node, resuming, streams, wire

HARNESSES: dict[str, Harness] = {
    harness.name: harness
    for module in (wire, node, disk, streams, admission, http, resuming, files, door)
    for harness in module.HARNESSES
}
