"""What a confined program is left with survives its command, and its variables are those it may know."""

import string
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.sandbox.confinement import Confinement, environment

PATHS = st.lists(st.text(min_size=1, max_size=20), max_size=3).map(tuple)
NUMBERS = st.lists(st.integers(0, 65535), max_size=3).map(tuple)
NUMBER = st.one_of(st.none(), st.integers(0, 2**40))
CONFINEMENTS = st.builds(
    Confinement, device=st.booleans(), listens=NUMBERS, connects=NUMBERS, reads=PATHS, writes=PATHS,
    file_bytes=st.integers(0, 2**40), data_bytes=NUMBER, control_group=st.one_of(st.none(), st.text()),
    user=NUMBER, groups=NUMBERS, cell=st.booleans(), hears=NUMBERS, line=NUMBER,
)  # fmt: skip
PROGRAMS = st.lists(st.text(max_size=20), min_size=1, max_size=4)
NAMES = st.text(string.ascii_uppercase + "_", min_size=1, max_size=12)


@given(wanted=CONFINEMENTS, argv=PROGRAMS)
def test_what_a_command_says_is_read_as_it_was_meant(wanted: Confinement, argv: list[str]) -> None:
    command = wanted.command(argv)
    assert command[-len(argv) :] == argv
    assert Confinement.parse(command[-len(argv) - 1]) == wanted


def test_what_is_not_asked_for_is_taken_away() -> None:
    left = asdict(Confinement())
    assert [name for name in left if left[name]] == []


def test_a_program_knows_where_libraries_and_devices_are_and_no_secret() -> None:
    passed = {"PATH": "/bin", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "1", "LD_LIBRARY_PATH": "/lib"}
    secret = {
        "MESH_TOKEN": "x",
        "HF_TOKEN": "x",
        "LD_PRELOAD": "/x",
        "SSH_AUTH_SOCK": "/x",
        "HTTP_PROXY": "x",
    }
    assert environment(passed | secret) == passed


@given(inherited=st.dictionaries(NAMES, st.text()))
def test_variables_are_passed_on_unchanged_and_none_is_added(inherited: dict[str, str]) -> None:
    assert environment(inherited).items() <= inherited.items()
