"""The words for states: the same in code, on the wire and in JSON."""

import json
from typing import get_args

import pytest

from mesh.control.operations import DeploymentState, EngineStateText, MemberStateText
from mesh.protocol.membership.peers import GONE, PRESENT, MemberState
from mesh.wire import codec
from mesh.wire.facts import PoolState, Record
from mesh.wire.identity import PoolId
from mesh.wire.profile import Profile
from mesh.wire.signed_facts import decode, sign
from mesh.wire.states import EngineState, Phase
from simulations.signing import KeyedHash

POOL, SIGNER = PoolId(b"p" * 16), KeyedHash(1)


def pool_state(phase: str) -> PoolState:
    return PoolState(POOL, SIGNER.id, 1, 1, 1, phase, 0.0, "", 0.0, ())


def record(engine_state: str) -> Record:
    return Record(POOL, SIGNER.id, 1, bytes(8), 1, False, Profile(engine_state=engine_state))


def test_json_has_the_words_of_the_code() -> None:
    # Who asks the leader and tells nobody of itself is in no member's view: such a one is "unseen".
    assert set(get_args(MemberStateText)) == {*MemberState, "unseen"}
    assert set(get_args(EngineStateText)) == set(EngineState)
    assert set(get_args(DeploymentState)) == set(Phase) - {Phase.STOPPED}


def test_every_state_of_a_member_is_either_present_or_gone() -> None:
    assert {*PRESENT, *GONE} == set(MemberState)
    assert not {*PRESENT} & {*GONE}


@pytest.mark.parametrize("word", [*MemberState, *EngineState, *Phase])
def test_a_word_is_written_as_plain_text(word: MemberState | EngineState | Phase) -> None:
    assert codec.pack([word]) == codec.pack([word.value])
    assert json.dumps({"state": word}) == json.dumps({"state": word.value})
    assert f"is {word}" == f"is {word.value}"


@pytest.mark.parametrize("phase", [*Phase])
def test_a_phase_comes_back_as_text_that_equals_it(phase: Phase) -> None:
    signed = sign(pool_state(phase), SIGNER)
    assert signed.data == sign(pool_state(phase.value), SIGNER).data
    read = decode(signed.data).fact.phase
    assert type(read) is str
    assert read == phase
    assert read != EngineState.MISSING


def test_words_of_another_version_are_kept_as_they_came() -> None:
    assert decode(sign(pool_state("dreaming"), SIGNER).data).fact.phase == "dreaming"
    assert decode(sign(record("tuning"), SIGNER).data).fact.profile.engine_state == "tuning"
