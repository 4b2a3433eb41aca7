"""What programs of each version publish, and how the form of a record is told from its bytes."""

import pytest

from mesh.wire.facts import Record
from mesh.wire.identity import PoolId
from mesh.wire.profile import MAX_DEVICES, Profile
from mesh.wire.versions import Versions
from simulations.checkers.forms import own_record
from simulations.programs import FORMER, MIXES, NEXT, PRESENT, Program, form_of
from simulations.world import World


def _alone(program: Program, devices: int = 2) -> Record:
    """The record of one host that runs this program, as its Node holds it."""
    world = World(1)
    host = world.add()
    host.program, host.profile = program, program.described(host.profile, devices)
    world.found(host)
    record = own_record(host)
    assert record is not None
    assert form_of(record) == program.speaks.newest
    return record.fact


@pytest.mark.parametrize("program", [FORMER, PRESENT, NEXT])
def test_each_program_signs_in_its_newest_form_and_says_what_it_speaks(program: Program) -> None:
    record = _alone(program)
    assert record.speaks == program.speaks
    assert record.pool != PoolId(bytes(16))
    assert (record.unknown == b"") is (program is not NEXT)
    assert (record.profile.build, len(record.profile.devices)) == (
        ("", 0) if program is FORMER else (f"0.{program.speaks.newest}.0+simulated", 2)
    )


def test_a_pool_mixes_neighbours_that_understand_each_other() -> None:
    assert [(older.speaks, newer.speaks) for older, newer in MIXES] == [
        (Versions(2, 2), Versions(2, 3)),
        (Versions(2, 3), Versions(3, 4)),
    ]
    assert [older.is_closed for older, _ in MIXES] == [True, False]


def test_a_program_that_goes_back_takes_the_new_fields_away() -> None:
    newer = PRESENT.described(Profile(name="host", memory_offered=1 << 30), MAX_DEVICES + 1)
    assert len(newer.devices) == MAX_DEVICES
    assert FORMER.described(newer, 1) == Profile(name="host", memory_offered=1 << 30)
    assert str(PRESENT) == "versions 2 and 3"
