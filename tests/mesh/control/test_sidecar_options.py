"""What each option of a node takes, as declared."""

from pathlib import Path

import pytest

from mesh.control.sidecar_options import NodeOptions, declared, fill_in

READ = {option.name: option.read for option in declared()}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "-x y", "-x y"),
        ("name", "x" * 63, "x" * 63),
        ("memory", "60M", 60 << 20),
        ("memory", "1.5GiB", 3 << 29),
        ("memory", "CUDA0=1G,cpu=0", f"cpu=0,cuda0={1 << 30}"),
        ("port", "0", 0),
        ("ask_in_flight", "1", 1),
        ("ask_tokens_per_minute", "0", 0),
        ("api_port", "65535", 65535),
        ("api_key", "/etc/../key", "/key"),
        ("api_key", "~/key", str(Path.home() / "key")),
        ("api_key", "key", str(Path.cwd() / "key")),
        ("api_key", "", None),
        ("tailscaled_socket", "off", "off"),
        ("tailscaled_socket", "", ""),
        ("tailscaled_socket", "a.sock", str(Path.cwd() / "a.sock")),
    ],
)
def test_what_a_person_types_is_understood(name: str, text: str, value: object) -> None:
    assert READ[name](text) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("name", "", "1 to 63 bytes"),
        ("name", "é" * 32, "1 to 63 bytes"),
        ("memory", "much", "no amount of memory"),
        ("memory", "0", "lends nothing"),
        ("memory", "cuda0=20G,8G", "not DEVICE=AMOUNT"),
        ("port", "65536", "not a port"),
        ("port", "-1", "not a port"),
        ("ask_in_flight", "0", "whole number from 1"),
        ("ask_queued", "many", "whole number from 1"),
        ("ask_tokens_per_minute", "-1", "whole number from 0"),
        ("ask_queued", "9" * 10, "whole number from 1"),
        ("api_port", "١", "not a port"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        READ[name](text)


def test_what_is_remembered_with_another_type_counts_as_not_there() -> None:
    remembered = {"name": 7, "work": "no", "port": True, "memory": 8, "stranger": 1}
    assert fill_in({}, remembered) == NodeOptions(memory=8)
    assert fill_in({}, {**remembered, "memory": "cpu=8"}) == NodeOptions(memory="cpu=8")
    assert fill_in({}, {**remembered, "memory": True}) == NodeOptions()
