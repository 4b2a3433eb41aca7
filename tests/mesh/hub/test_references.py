import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.hub.references import (
    FileReference,
    HubReference,
    NameReference,
    Reference,
    UrlReference,
    parse_reference,
)
from mesh.wire.errors import MeshError

HASH = "ab" * 32
REPO = "unsloth/Qwen3-8B-GGUF"
FILE = "Q8_0/qwen3-8b-q8_0-00001-of-00002.gguf"


def parsed(text: str, endpoint: str = "") -> Reference:
    return parse_reference(text, lambda path: False, endpoint)


@pytest.mark.parametrize(
    "text", ["./x", "/srv/x", "~/x", "../x", "~", "..", "x.gguf", "a/b/c.GGUF", "models/x.gguf"]
)
def test_what_looks_like_a_path_is_a_file(text: str) -> None:
    assert parsed(text) == FileReference(text)


@pytest.mark.parametrize("text", ["llama", REPO, f"hf:{REPO}", " spaced ", "https://x.example/y.gguf"])
def test_what_exists_is_a_file_whatever_it_is_called(text: str) -> None:
    assert parse_reference(text, lambda path: path == text) == FileReference(text)


@pytest.mark.parametrize("text", ["llama3", "llama3:8b", "SmolLM2-135M-Instruct.Q4_1", "日本", "-x"])
def test_a_word_is_the_name_of_a_model_that_the_pool_may_hold(text: str) -> None:
    assert parsed(f" {text}\n") == NameReference(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"hf:{REPO}", HubReference(REPO)),
        (REPO, HubReference(REPO)),
        (f"HF://{REPO}", HubReference(REPO)),
        (f"hf.co/{REPO}", HubReference(REPO)),
        (f"{REPO}:q4_k_m", HubReference(REPO, "q4_k_m")),
        (f"hf:{REPO}:UD-Q4_K_XL", HubReference(REPO, "UD-Q4_K_XL")),
        (f"hf.co/{REPO}:Q4_K_M", HubReference(REPO, "Q4_K_M")),
        (f"https://huggingface.co/{REPO}:Q4_K_M", HubReference(REPO, "Q4_K_M")),
        (f"hf:{REPO}:x.gguf", HubReference(REPO, file="x.gguf")),
        (f"hf:{REPO}@v1.0:Q8_0", HubReference(REPO, "Q8_0", revision="v1.0")),
        (f"hf:{REPO}:Q8_0@v1.0", HubReference(REPO, "Q8_0", revision="v1.0")),
        (f"{REPO}@main", HubReference(REPO, revision="main")),
        (f"{REPO}@refs/pr/3", HubReference(REPO, revision="refs/pr/3")),
        (f"hf:{REPO}/{FILE}", HubReference(REPO, file=FILE)),
        (f"hf:{REPO}@refs/pr/3/{FILE}", HubReference(REPO, file=FILE, revision="refs/pr/3")),
        (f"hf:{REPO}@{'0' * 40}/{FILE}", HubReference(REPO, file=FILE, revision="0" * 40)),
        (f"https://huggingface.co/{REPO}/", HubReference(REPO)),
        (f"https://huggingface.co/{REPO}?library=llama.cpp#use", HubReference(REPO)),
        (f"https://huggingface.co/{REPO}?show_file_info={FILE}", HubReference(REPO, file=FILE)),
        (f"https://huggingface.co/{REPO}/tree/main", HubReference(REPO, revision="main")),
        (f"huggingface.co/{REPO}/tree/refs%2Fpr%2F1", HubReference(REPO, revision="refs/pr/1")),
        (f"https://hf.co/{REPO}/tree/main/Q8_0", HubReference(REPO, "Q8_0", revision="main")),
        (f"https://hf.co/{REPO}/blob/v2/{FILE}", HubReference(REPO, file=FILE, revision="v2")),
        (
            f"https://huggingface.co/{REPO}/resolve/main/{FILE}?download=true",
            HubReference(REPO, file=FILE, revision="main"),
        ),
        (f"https://huggingface.co/{REPO}/discussions/4", HubReference(REPO)),
    ],
)
def test_models_of_the_hub_are_named_as_people_copy_them(text: str, meant: HubReference) -> None:
    assert parsed(text) == meant


def test_another_hub_is_known_by_its_endpoint() -> None:
    endpoint = "http://mirror.example:8080/hub/"
    page = f"http://mirror.example:8080/hub/{REPO}/tree/main"
    assert parsed(page, endpoint) == HubReference(REPO, revision="main")
    assert parsed(f"mirror.example:8080/hub/{REPO}", endpoint) == HubReference(REPO)
    with pytest.raises(MeshError, match="no address of a"):
        parsed(page)


def test_an_address_may_say_its_hash() -> None:
    assert parsed("https://x.example/a/B.gguf?v=1") == UrlReference("https://x.example/a/B.gguf?v=1")
    assert parsed(f"http://x.example/b.gguf#sha256={HASH.upper()}") == UrlReference(
        "http://x.example/b.gguf", HASH
    )


def test_a_hash_is_not_dropped_where_the_address_is_the_hubs() -> None:
    address = f"https://huggingface.co/{REPO}/resolve/main/x.gguf"
    assert parsed(f"{address}#sha256={HASH}") == UrlReference(address, HASH)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no model is named"),
        (" \n", "no model is named"),
        ("x\x1b[2J", "not printable"),
        ("y" * 300, "300 characters"),
        ("y" * 5000, "too long"),
        ("models/", "folder"),
        ("a/b/c", "cannot tell"),
        ("hf:llama3", "owner is missing"),
        ("hf:", "does not name a model"),
        (f"hf:{REPO}:", "no quantisation"),
        (f"hf:{REPO}:Q4 K M", "cannot be a quantisation"),
        (f"hf:{REPO}/x.gguf:Q4_0", "a file and a quantisation"),
        (f"hf:{REPO}@a@b", "does not name a model"),
        (f"hf:{REPO}/x.safetensors", "no GGUF file"),
        (f"hf:{REPO}/../x.gguf", "cannot be a file"),
        ("hf:../x", "cannot be the name of an owner"),
        ("own er/repo", "cannot be the name of an owner"),
        ("https://huggingface.co/datasets/a/b", "not the page of a model"),
        ("https://huggingface.co/unsloth", "not the page of a model"),
        (f"https://huggingface.co/{REPO}/blob/main", "names no file"),
        (f"https://huggingface.co/{REPO}/blob/main/README.md", "no GGUF file"),
        ("ftp://x.example/y.gguf", "ftp:// is not a way"),
        ("file:///x/y.gguf", "file:// is not a way"),
        ("http://x.example/y.gguf", "plain http"),
        ("https://x.example/y.bin", "no address of a .gguf"),
        ("https://x.example/y.gguf#sha256=12", "is no hash"),
        ("https://x.example/y.gguf#part", "is no hash"),
        ("https://me:secret@x.example/y.gguf", "a password"),
        ("https://x.example:port/y.gguf", "is no address"),
        ("https:///y.gguf", "is no address"),
        ("https://[/y.gguf", "is no address"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(text: str, said: str) -> None:
    with pytest.raises(MeshError, match=said) as refused:
        parsed(text)
    assert refused.value.hint
    assert "secret" not in str(refused.value)


PIECES = (
    "hf: hf:// https:// http:// huggingface.co hf.co / : @ #sha256= ? .. . [ ] %2F %00 blob tree ~ refs pr"
)
TEXTS = st.text() | st.lists(st.sampled_from(PIECES.split()) | st.text(max_size=3), max_size=12).map("".join)


@given(TEXTS, st.sampled_from(["", "http://h:1", "[", "https://hub.example/x/"]))
@example("https://[::1", "")
def test_any_text_gets_a_meaning_or_a_sentence(text: str, endpoint: str) -> None:
    meant: Reference | MeshError
    try:
        meant = parsed(text, endpoint)
    except MeshError as refused:
        meant = refused
    match meant:
        case MeshError(message=message, hint=hint):
            assert message
            assert hint
        case HubReference(repo, quantisation, file, _):
            assert repo.count("/") == 1
            assert ".." not in repo
            assert not (quantisation and file)
            assert ".." not in file.split("/")
        case UrlReference(url, sha256):
            assert sha256 or url.lower().startswith("https:")
        case FileReference(name) | NameReference(name):
            assert name.isprintable()
            assert name == text.strip()


NO_OWNERS = ("datasets", "spaces", "docs", "papers", "collections", "blog", "api", "models", "buckets")
NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,20}[A-Za-z0-9])?", fullmatch=True)


@given(NAMES, NAMES, NAMES, st.sampled_from(["", "refs/pr/"]))
def test_what_is_written_by_its_parts_is_read_as_these(owner: str, repo: str, word: str, refs: str) -> None:
    whole, revision = f"{owner}/{repo}", refs + word
    file = f"{word}/{repo}.gguf"
    meant = HubReference(whole, file=file, revision=revision)
    assert parsed(f"hf:{whole}@{revision}/{file}") == meant
    assert parsed(f"hf:{whole}:{word}") == HubReference(whole, word)
    if owner.lower() not in NO_OWNERS:
        assert parsed(f"https://huggingface.co/{whole}/blob/{revision}/{file}") == meant
