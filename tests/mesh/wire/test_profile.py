"""A profile is cut to bounds by which its record fits a datagram, and is the same when it already fits."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import codec
from mesh.wire.profile import MAX_MODELS, MAX_NAME, PROFILE, Model, Profile, fitted

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
    cut = fitted(profile)
    data = codec.pack(PROFILE.dump(cut))
    assert PROFILE.load(codec.unpack(data, len(data))) == cut
    assert fitted(cut) == cut
    assert profile.name.startswith(cut.name)
    assert [model.root for model in cut.models] == [model.root for model in profile.models[: len(cut.models)]]


def test_a_text_is_cut_between_characters() -> None:
    assert fitted(Profile(name="a" * 47 + "é")).name == "a" * 47


def test_of_many_models_the_first_ones_that_fit_stay() -> None:
    models = tuple(Model(f"{number}" + "m" * MAX_NAME, 1, bytes(32)) for number in range(MAX_MODELS))
    kept = fitted(Profile(models=models)).models
    assert 0 < len(kept) < MAX_MODELS
    assert [model.name[0] for model in kept] == [str(number) for number in range(len(kept))]
    assert all(len(model.name) == MAX_NAME for model in kept)
