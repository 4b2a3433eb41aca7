"""A profile is cut to bounds by which its record fits a datagram, and is the same when it already fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import codec
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Record
from mesh.wire.identity import PoolId
from mesh.wire.profile import (
    MAX_DEVICES,
    MAX_MODELS,
    MAX_NAME,
    Model,
    OfferedDevice,
    Profile,
    fitted,
    max_record,
    profile_codec,
)
from mesh.wire.signed_facts import sign
from mesh.wire.versions import SPOKEN
from simulations.signing import KeyedHash

WORDS = st.text(st.sampled_from("aé😀\n"), max_size=200)
MODELS = st.builds(Model, WORDS, st.integers(0, codec.MAX_UINT), st.binary(min_size=32, max_size=32))
NUMBERS = st.integers(0, codec.MAX_UINT)
DEVICES = st.builds(OfferedDevice, WORDS, WORDS, NUMBERS, NUMBERS)
POOL, SIGNER = PoolId(b"p" * 16), KeyedHash(1)
GOES_FIRST = ["the reason of the engine's state", "the accelerator's name"]
PROFILES = st.builds(
    Profile,
    name=WORDS,
    accelerator_kind=WORDS,
    accelerator_name=WORDS,
    engine_state=WORDS,
    engine_reason=WORDS,
    engine_commit=WORDS,
    engine_rpc=WORDS,
    models=st.lists(MODELS, max_size=12).map(tuple),
    build=WORDS,
    devices=st.lists(DEVICES, max_size=12).map(tuple),
)


@given(PROFILES)
def test_a_fitted_profile_can_be_read_and_is_fitted_already(profile: Profile) -> None:
    cut, _ = fitted(profile)
    shape = profile_codec(SPOKEN.newest)
    data = codec.pack(shape.dump(cut))
    assert shape.load(codec.unpack(data, len(data))) == cut
    assert fitted(cut) == (cut, [])
    assert profile.name.startswith(cut.name)
    assert [model.root for model in cut.models] == [model.root for model in profile.models[: len(cut.models)]]


def test_a_text_is_cut_between_characters() -> None:
    assert fitted(Profile(name="a" * 47 + "é"))[0].name == "a" * 47


def test_no_model_is_left_out_of_a_record_and_names_are_cut_last() -> None:
    models = tuple(Model(f"{number}".ljust(MAX_NAME, "m"), 1, bytes(32)) for number in range(MAX_MODELS))
    kept, lost = fitted(Profile(models=models, engine_reason="r" * 120), 2)
    assert [model.name[0] for model in kept.models] == [str(number) for number in range(MAX_MODELS)]
    assert kept.engine_reason == ""
    assert lost == ["the reason of the engine's state", "the ends of the models' names"]
    assert fitted(Profile(models=models, engine_reason="r" * 120), 3)[1] == []


def test_what_no_record_has_room_for_is_told() -> None:
    models = tuple(Model(f"model {number}", 1, bytes(32)) for number in range(MAX_MODELS + 2))
    assert fitted(Profile(models=models))[1] == ["models: model 8, model 9"]
    devices = tuple(OfferedDevice(name=f"gpu {number}") for number in range(MAX_DEVICES + 1))
    assert fitted(Profile(devices=devices))[1] == ["devices: gpu 8"]
    assert fitted(Profile(models=(Model("m" * (MAX_NAME + 1), 1, bytes(32)),)))[1] == [
        "the ends of the models' names"
    ]


@pytest.mark.parametrize(
    ("version", "lost"),
    [
        (2, [*GOES_FIRST, "the ends of the models' names", "the last addresses"]),
        (3, [*GOES_FIRST, "the ends of the models' names"]),
    ],
)
def test_the_largest_profile_is_cut_by_worth_and_its_record_fits(version: int, lost: list[str]) -> None:
    top = codec.MAX_UINT
    full = Profile(
        "n" * 48, tuple(Endpoint(f"fe80::{n}%".ljust(64, "e"), 65535) for n in range(6)), "k" * 16, "a" * 64,
        top, top, top, 1.5, "s" * 16, 1.5, "r" * 120, "c" * 40, "p" * 16,
        tuple(Model(f"{n}".ljust(MAX_NAME, "m"), top, bytes(32)) for n in range(MAX_MODELS)), top, True,
        "b" * 40, (OfferedDevice("k" * 16, "n" * 24, top, top, 1.5, 1.5, 1.5, 1.5),) * MAX_DEVICES,
    )  # fmt: skip
    kept, told = fitted(full, version)
    assert told == lost
    assert (kept.name, len(kept.models), kept.build) == (full.name, MAX_MODELS, full.build)
    assert kept.devices == full.devices, "their names address them"
    record = Record(POOL, SIGNER.id, top, bytes(8), top, True, kept)
    assert len(sign(record, SIGNER, version).data) <= max_record(version)
