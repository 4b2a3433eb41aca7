import os
from collections.abc import Mapping
from typing import Any

import pytest

from mesh.control.control_errors import OperationRefused
from mesh.hub.repository import Repository
from mesh.wire.errors import MeshError
from tests.mesh.cli.conftest import FakeSidecar, Terminal
from tests.mesh.cli.fake_hub import COMMIT, GIB, REPO, FakeHub, fit


async def test_the_best_that_fits_is_taken_and_the_choice_is_shown(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    owner.answers["fit"] = fit(2.0, 4.5, 9.25)
    outcome = await mesh("serve", f"hf:{REPO}", "--ctx", "512", "--slots", "2", "--layers", "beta=3")
    assert outcome.code == 0
    assert (
        outcome.err
        == """\
   QUANT       SIZE  FITS  TOKENS/S
   BF16    16.0 GiB  yes        2.0
*  Q8_0     8.0 GiB  yes        4.5
   Q4_K_M   5.0 GiB  yes        9.2
downloading model-Q8_0-00001-of-00002.gguf and 1 more (8.0 GiB) to alpha
mmproj-F16.gguf (1.0 GiB) comes along: by it the model reads pictures
 25%  model-Q8_0-00001-of-00002.gguf, 1.0 GiB of 4.0 GiB
"""
    )
    ((_, args),) = [one for one in owner.asked if one[0] == "fit"]
    assert not os.path.exists(args.pop("header")), "the header is removed again"  # noqa: ASYNC240
    assert args == {
        "size": 5 * GIB,
        "sizes": [16 * GIB, 8 * GIB, 5 * GIB],
        "context": 512,
        "slots": 2,
        "layers": {"beta": 3},
        "kv": None,
        "embeddings": False,
    }
    assert ("header_of", 16 << 20, "model-Q4_K_M.gguf") in hub.asked, "of the smallest one"


async def test_a_long_header_is_fetched_further_up_to_its_bound(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    short = OperationRefused("short_header", "the header goes on")
    owner.answers["fit"] = [short, fit(0, 0, 9)]
    assert (await mesh("pull", REPO)).code == 0
    assert [one[1] >> 20 for one in hub.asked if one[0] == "header_of"] == [16, 32]
    owner.answers["fit"] = short
    hub.asked.clear()
    outcome = await mesh("pull", REPO)
    assert (outcome.code, outcome.err) == (1, "mesh: the header goes on\n")
    assert [one[1] >> 20 for one in hub.asked if one[0] == "header_of"] == [16, 32, 64]


async def test_where_nothing_fits_it_says_what_is_missing_of_each(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    owner.answers["fit"] = fit(0, 0, 0)
    outcome = await mesh("serve", REPO)
    assert outcome.code == 1
    assert (
        outcome.err
        == f"""\
mesh: nothing of {REPO} fits this pool
      BF16 (16.0 GiB): 3.0 GiB are missing
      Q8_0 (8.0 GiB): 3.0 GiB are missing
      Q4_K_M (5.0 GiB): 3.0 GiB are missing
hint: more machines, more --memory or a smaller --ctx help
"""
    )
    assert not [one for one in hub.asked if one[0] == "fetch"]


@pytest.mark.parametrize("named", [f"hf:{REPO}:q4_k_m", f"https://hf.co/{REPO}/blob/main/model-Q4_K_M.gguf"])
async def test_a_named_variant_that_does_not_fit_is_pulled_but_not_served(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub, named: str
) -> None:
    owner.answers["fit"] = fit(0)
    outcome = await mesh("serve", named)
    assert outcome.code == 1
    assert "Q4_K_M (5.0 GiB) does not fit: 3.0 GiB are missing" in outcome.err
    assert not [one for one in hub.asked if one[0] == "fetch"]
    assert (await mesh("pull", named)).code == 0
    assert [one[3] for one in hub.asked if one[0] == "fetch"] == [["model-Q4_K_M.gguf", "mmproj-F16.gguf"]]


@pytest.mark.parametrize(
    ("named", "said"),
    [(f"{REPO}:Q4_K_X", "there is no Q4_K_X in"), (f"hf:{REPO}/model-Q4_K.gguf", "there is no file")],
)
async def test_a_mistyped_variant_is_told_what_there_is(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub, named: str, said: str
) -> None:
    outcome = await mesh("serve", named)
    assert outcome.code == 1
    assert said in outcome.err
    assert "did you mean hf:owner/model-GGUF" in outcome.err
    assert "Q8_0 (8.0 GiB), Q4_K_M (5.0 GiB)" in outcome.err


async def test_a_repository_without_models_is_refused_in_words(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    hub.repository = Repository(REPO, COMMIT, False, ())
    assert "no GGUF file that can be served" in (await mesh("pull", REPO)).err
    hub.repository = Repository("another/one", COMMIT, False, ())
    assert (await mesh("pull", REPO)).err == (
        f"mesh: the hub has no {REPO}\nhint: look at how its page is called\n"
    )


async def test_what_does_not_fit_is_called_by_no_temporary_name(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    def judged(asked: Mapping[str, Any]) -> Any:
        name = os.path.basename(asked["header"])
        return {"fits": [{"fits": False, "reason": f"{name} needs 9 GiB", "tokens_per_second": 0.0}]}

    owner.answers["fit"] = judged
    outcome = await mesh("serve", f"{REPO}:Q8_0")
    assert "Q8_0 (8.0 GiB) does not fit: it needs 9 GiB" in outcome.err


async def test_other_errors_of_the_sidecar_name_no_temporary_file(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    def refused(asked: Mapping[str, Any]) -> Exception:
        return MeshError(f"{asked['header']}: has no layers", "take another")

    owner.answers["fit"] = refused
    outcome = await mesh("pull", REPO)
    assert outcome.err == "mesh: model-Q4_K_M.gguf: has no layers\nhint: take another\n"
