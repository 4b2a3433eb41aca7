"""What is removed of downloads, and what never is."""

from pathlib import Path

from mesh.hub.forgetting import forget


def test_only_what_was_downloaded_is_ever_forgotten(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--ann--tiny" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    own, copied, leading = tmp_path / "own.gguf", snapshot / "copied.gguf", snapshot / "leading.gguf"
    by_url = tmp_path / f"url-{'0' * 16}" / "tiny.gguf"
    by_url.parent.mkdir()
    for file in (own, copied, by_url):
        file.touch()
    leading.symlink_to(own)
    (by_url.parent / "leading.gguf").symlink_to(own)
    kept = [own, leading, snapshot, by_url.parent / "leading.gguf", tmp_path / "nothing"]
    assert [forget(one) for one in kept] == [False] * 5
    assert [forget(one) for one in (copied, by_url)] == [True] * 2
    assert [one.exists() for one in (own, leading, copied, by_url)] == [True, True, False, False]


def test_a_blob_that_lies_on_another_disk_loses_its_link_alone(tmp_path: Path) -> None:
    repository = tmp_path / "models--ann--tiny"
    pointer = repository / "snapshots" / ("0" * 40) / "deep" / "tiny.gguf"
    pointer.parent.mkdir(parents=True)
    (repository / "blobs").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    (repository / "blobs" / "abc").symlink_to(elsewhere)
    pointer.symlink_to("../../../blobs/abc")
    assert forget(pointer)
    assert [pointer.is_symlink(), (repository / "blobs" / "abc").is_symlink()] == [False, False]
    assert elsewhere.exists()
