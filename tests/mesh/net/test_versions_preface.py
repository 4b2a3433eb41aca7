"""What two programs say of themselves, what is made of it, and what people read where they cannot speak."""

from typing import Any

import hypothesis.strategies as st
import msgpack
import pytest
from hypothesis import given

from mesh.net.versions_preface import (
    MAX_BUILD,
    MAX_NAME,
    MAX_VERSION,
    WIRE_VERSION,
    OtherVersion,
    ProgramVersion,
    program_in_answer,
    program_in_preface,
)
from mesh.wire.identity import Identity
from mesh.wire.versions import CLOSED, SPOKEN, Versions

NUMBERS = st.integers(0, MAX_VERSION)
VERSIONS = st.tuples(NUMBERS, NUMBERS).map(lambda pair: Versions(min(pair), max(pair)))
BUILDS = st.text("0123456789.+abcdef-é", max_size=MAX_BUILD // 2)
NAMES = st.text("tower 2é", max_size=MAX_NAME // 2)
PROGRAMS = st.builds(ProgramVersion, VERSIONS, BUILDS, NAMES)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SAID = st.fixed_dictionaries({}, optional={"wire": ANY, "speaks": ANY, "build": ANY, "name": ANY, "ok": ANY})
LIKELY = st.fixed_dictionaries(
    {"speaks": st.lists(st.integers(-1, 300), max_size=3)}, optional={"build": ANY, "name": ANY}
)


def sent(said: Any) -> Any:
    return msgpack.unpackb(msgpack.packb(said))


@given(PROGRAMS)
def test_what_is_said_in_a_preface_and_in_an_answer_is_what_is_read(program: ProgramVersion) -> None:
    assert program_in_preface(sent(program.preface())) == program
    assert program_in_answer(sent({"ok": True, **program.answer()})) == program


@given(SAID | LIKELY)
def test_whatever_is_said_is_bounded_or_nothing(said: Any) -> None:
    for program in (program_in_preface(sent(said)), program_in_answer(sent(said))):
        if program is not None:
            assert 0 <= program.speaks.oldest <= program.speaks.newest <= MAX_VERSION
            assert len(program.build.encode()) <= MAX_BUILD
            assert len(program.name.encode()) <= MAX_NAME
            assert program.build.isprintable()
            assert program.name.isprintable()
            other = OtherVersion("192.0.2.7", program, SPOKEN)
            assert len(other.message) <= 150


@given(PROGRAMS)
def test_version_2_reads_the_oldest_version_alone(program: ProgramVersion) -> None:
    assert program.preface()["wire"] == program.speaks.oldest


@pytest.mark.parametrize("preface", [None, [], "wire", {}, {"wire": "2"}, {"wire": True}, {"wire": 256}])
def test_a_preface_that_says_no_version_is_malformed(preface: Any) -> None:
    assert program_in_preface(preface) is None


def test_version_2_names_one_number_in_its_preface_and_nothing_in_its_answer() -> None:
    assert program_in_preface({"wire": 2, "kind": "admit"}) == ProgramVersion(CLOSED)
    assert program_in_answer({"ok": True}) == ProgramVersion(CLOSED)
    assert program_in_answer({"error": {"code": WIRE_VERSION}}) == ProgramVersion(CLOSED)


@pytest.mark.parametrize(
    "speaks", [[3], [3, 2], [2, 3, 4], "23", None, [2, 3.0], [-1, 2], [2, 256], [False, 2]]
)
def test_versions_that_are_none_are_malformed_in_both(speaks: Any) -> None:
    assert program_in_preface({"wire": 2, "speaks": speaks}) is None
    assert program_in_answer({"ok": True, "speaks": speaks}) is None


@pytest.mark.parametrize("build", [7, b"0.5.0", "\x1b[2J", "a\nb", None])
def test_a_build_that_cannot_be_shown_is_left_out(build: Any) -> None:
    assert program_in_answer({"speaks": [2, 3], "build": build}) == ProgramVersion(SPOKEN, "")


def test_a_name_longer_than_its_bound_is_cut_between_letters() -> None:
    said = {"speaks": [2, 3], "build": "x" * 41, "name": "x" + "é" * 31}
    assert program_in_answer(said) == ProgramVersion(SPOKEN, "x" * 40, "x" + "é" * 23)


def test_a_newer_program_is_named_with_its_build_and_what_helps_here() -> None:
    other = OtherVersion("192.0.2.7", ProgramVersion(Versions(4, 5), "0.5.0+abcd"), SPOKEN)
    assert other.message == "192.0.2.7 speaks wire version 4 and 5 (mesh 0.5.0+abcd), this machine 2 and 3"
    assert other.hint == "upgrade this machine, then: mesh restart"
    assert other.code == "wire_version"


def test_an_older_program_is_named_with_what_helps_there() -> None:
    other = OtherVersion("shed", ProgramVersion(CLOSED), Versions(4, 5), "mesh join")
    assert other.message == "shed speaks wire version 2, this machine 4 and 5"
    assert other.hint == "upgrade that one, then there: mesh restart"


@pytest.mark.parametrize("theirs", [None, ProgramVersion(SPOKEN)])
def test_a_refusal_that_does_not_say_why_names_this_machine_alone(theirs: ProgramVersion | None) -> None:
    other = OtherVersion("shed", theirs, SPOKEN)
    assert other.message == "shed does not speak the wire version of this machine, which is 2 and 3"
    assert other.hint == "upgrade the older of the two"


def test_the_same_under_another_name_keeps_all_else() -> None:
    other = OtherVersion("192.0.2.7", ProgramVersion(Versions(4, 5), "b"), SPOKEN, "mesh join")
    other.peer = Identity.from_seed(bytes(32)).id
    named = other.of("shed", "or found another")
    assert named.message == "shed speaks wire version 4 and 5 (mesh b), this machine 2 and 3"
    assert named.hint == "upgrade this machine, then: mesh join; or found another"
    assert (named.peer, named.theirs) == (other.peer, other.theirs)
