from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.hub.downloader.checked_entry import MOST_FILES
from mesh.hub.quantisations import Variant, best, named, of_file, projector_for, projectors, variants
from mesh.hub.repository import HubFile
from mesh.wire.errors import MeshError

REPO = "owner/model-GGUF"


def files(*paths: str, size: int = 1 << 30) -> list[HubFile]:
    return [HubFile(path, size) for path in paths]


def names(found: Sequence[Variant]) -> list[str]:
    return [one.quantisation for one in found]


@pytest.mark.parametrize(
    ("path", "quantisation"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("model.i1-IQ2_XXS.gguf", "IQ2_XXS"),
        ("tinyllama-1.1b.Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("a-BF16.GGUF", "BF16"),
        ("a.f16.gguf", "F16"),
        ("a-fp16.gguf", "F16"),
        ("a-fp32.gguf", "F32"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("a-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("a-TQ1_0.gguf", "TQ1_0"),
        ("a-iq4_nl.gguf", "IQ4_NL"),
        ("a-Q3_K_XL.gguf", "Q3_K_XL"),
        ("Phi-3-mini-4k-instruct-q4.gguf", "Q4"),
        ("llama-F16-imat-q5_k_s.gguf", "Q5_K_S"),
        ("Q8_0/model-00001-of-00001.gguf", "Q8_0"),
        ("F16/model-Q6_K.gguf", "Q6_K"),
        ("Llama-3.2-3B-Instruct.gguf", "Llama-3.2-3B-Instruct"),
        ("sub/abQ4_0.gguf", "abQ4_0"),
    ],
)
def test_a_quantisation_is_read_from_a_files_name_or_folder(path: str, quantisation: str) -> None:
    assert names(variants(files(path))) == [quantisation]


def test_the_best_quality_comes_first() -> None:
    order = "F32 BF16 F16 UD-Q8_K_XL Q8_0 Q6_K_L Q6_K Q5_K_M Q5_K_S Q5_0 Q4_K_M Q4_1 Q4_K_S Q4_0 IQ4_XS"
    order += " Q3_K_L Q3_K_M Q3_K_S IQ3_XXS Q2_K IQ2_S TQ1_0 IQ1_S"
    found = variants(files(*(f"m-{name}.gguf" for name in reversed(order.split())), "other.gguf"))
    assert names(found) == [*order.split(), "other"]


def test_a_split_model_is_one_variant_with_its_parts_in_order() -> None:
    parts = [f"Q8_0/m-Q8_0-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    (found,) = variants(files(*reversed(parts), size=5))
    assert [file.path for file in found.files] == parts
    assert found.size == 15
    assert of_file([found], parts[1], found.files, REPO) is found


def test_a_split_model_without_all_its_parts_is_none() -> None:
    there = files("m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00003-of-00003.gguf", "m-Q4_0.gguf")
    assert names(variants(there)) == ["Q4_0"]
    with pytest.raises(MeshError, match="parts of it are missing"):
        of_file(variants(there), there[0].path, there, REPO)


def test_what_is_no_model_is_no_variant() -> None:
    others = ("imatrix_x.gguf", "m.imatrix.gguf", "mmproj-F16.gguf", "README.md", "m.safetensors")
    assert names(variants(files(*others, "m-imatrix-Q4_0.gguf"))) == ["Q4_0"]


def test_two_models_of_one_quantisation_are_called_by_their_files() -> None:
    found = variants(files("a-Q4_0.gguf", "b-Q4_0.gguf", "x/c-Q8_0.gguf", "y/c-Q8_0.gguf"))
    assert sorted(names(found)) == ["a-Q4_0", "b-Q4_0", "x/c-Q8_0", "y/c-Q8_0"]
    assert named(found, "A-q4_0", REPO).files[0].path == "a-Q4_0.gguf"
    with pytest.raises(MeshError, match="there is no Q4_0 in owner/model-GGUF"):
        named(found, "Q4_0", REPO)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("q4_k_m", "Q4_K_M"), ("Q4_K_XL", "UD-Q4_K_XL"), ("i1-q8_0", "Q8_0"), ("FP16", "F16")],
)
def test_a_variant_is_called_in_any_case_and_by_its_short_name(wanted: str, found: str) -> None:
    there = variants(files("m-Q4_K_M.gguf", "m-UD-Q4_K_XL.gguf", "m-Q8_0.gguf", "m-f16.gguf"))
    assert named(there, wanted, REPO).quantisation == found


def test_a_mistyped_quantisation_is_told_what_there_is() -> None:
    there = variants(files("m-Q4_K_M.gguf", "m-Q8_0.gguf"))
    with pytest.raises(MeshError, match="there is no Q4_K_X in owner/model-GGUF") as refused:
        named(there, "Q4_K_X", REPO)
    assert refused.value.hint == (
        "did you mean hf:owner/model-GGUF:Q4_K_M? there are: Q8_0 (1.0 GiB), Q4_K_M (1.0 GiB)"
    )


def test_a_quantisation_that_is_not_there_leads_to_the_one_nearest_in_bits() -> None:
    there = variants(files("m-F16.gguf", "m-Q8_0.gguf", "m-Q4_1.gguf", "m-Q2_K.gguf"))
    with pytest.raises(MeshError) as refused:
        named(there, "q5_k_m", REPO)
    assert refused.value.hint.startswith(f"did you mean hf:{REPO}:Q4_1? ")


def test_a_mistyped_file_is_told_what_there_is() -> None:
    there = files("gguf/m-Q4_K_M.gguf", "m-Q8_0.gguf")
    assert of_file(variants(there), "m-Q4_K_M.gguf", there, REPO).quantisation == "Q4_K_M"
    with pytest.raises(MeshError, match="there is no file m-Q8_1") as refused:
        of_file(variants(there), "m-Q8_1.gguf", there, REPO)
    assert "did you mean hf:owner/model-GGUF/m-Q8_0.gguf?" in refused.value.hint
    with pytest.raises(MeshError) as refused:
        of_file([], "m-Q8_1.gguf", [], REPO)
    assert refused.value.hint == "it has no GGUF files that can be served"


def test_at_most_one_projector_comes_along() -> None:
    there = files("m-Q4_0.gguf", "mmproj-F32.gguf", "mmproj-bf16.gguf", "x/MMPROJ-model-f16.gguf")
    (model,) = variants(there)
    found = projectors(there)
    assert len(found) == 3
    assert projector_for(model, found) == there[2], "the model's own folder first"
    assert projector_for(model, [found[0], found[1]]) in found
    assert projector_for(model, []) is None


def test_sixteen_bits_are_taken_only_where_nothing_else_fits() -> None:
    there = variants(files("m-F32.gguf", "m-BF16.gguf", "m-Q8_0.gguf", "m-Q4_0.gguf", "other.gguf"))

    def chosen(*fitting: str) -> str | None:
        one = best(there, [variant.quantisation in fitting for variant in there])
        return None if one is None else one.quantisation

    assert chosen("F32", "BF16", "Q8_0", "Q4_0", "other") == "Q8_0"
    assert chosen("Q4_0", "other") == "Q4_0"
    assert chosen("F32", "BF16", "other") == "BF16"
    assert chosen("other") == "other"
    assert chosen() is None


def test_as_many_files_as_a_description_may_have_are_told_apart() -> None:
    found = variants(files(*(f"{number}/{number:05}-Q4_0.gguf" for number in range(MOST_FILES))))
    assert names(found)[:2] == ["00000-Q4_0", "00001-Q4_0"]
    assert len(found) == MOST_FILES


PATHS = st.lists(
    st.sampled_from(["Q4_0", "-", "/", ".", "00001-of-00002", "00002-of-00002", "mmproj", "a", "UD-", "f16"])
    | st.text(max_size=3),
    max_size=7,
).map(lambda parts: "".join(parts) + ".gguf")


@given(st.lists(PATHS, max_size=8, unique=True), st.text(max_size=8), st.data())
def test_any_names_give_variants_that_can_be_named(
    paths: list[str], wanted: str, data: st.DataObject
) -> None:
    there = [HubFile(path, size) for size, path in enumerate(paths)]
    found = variants(there)
    grouped = [file for one in found for file in one.files]
    assert len(set(grouped)) == len(grouped)
    assert set(grouped) <= set(there)
    assert len(set(names(found))) == len(found)
    for one in found:
        assert of_file(found, one.files[0].path, there, REPO) is one
    fits = data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    chosen = best(found, fits)
    assert (chosen is None) == (not any(fits))
    assert chosen is None or fits[found.index(chosen)]
    try:
        meant: Variant | str = named(found, wanted, REPO)
    except MeshError as refused:
        meant = refused.hint
    assert meant in found or isinstance(meant, str)
    assert meant
