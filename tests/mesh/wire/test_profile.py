"""A profile is cut to bounds by which its record fits a datagram, and is the same when it already fits."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import codec
from mesh.wire.profile import MAX_MODELS, MAX_NAME, Model, Profile, fitted, profile_codec
from mesh.wire.versions import SPOKEN

WORDS = st.text(st.sampled_from("aé😀\n"), max_size=200)
MODELS = st.builds(Model, WORDS, st.integers(0, codec.MAX_UINT), st.binary(min_size=32, max_size=32))
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
    models = tuple(Model(f"{number}" + "m" * MAX_NAME, 1, bytes(32)) for number in range(MAX_MODELS))
    kept, lost = fitted(Profile(models=models, engine_reason="r" * 120), 2)
    assert [model.name[0] for model in kept.models] == [str(number) for number in range(MAX_MODELS)]
    assert kept.engine_reason == ""
    assert lost == ["the reason of the engine's state", "the ends of the models' names"]
    assert fitted(Profile(models=models), 3)[1] == []
