"""The library's ways that no request to the process shows alone."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

from mesh.hub.downloader import hub_library
from mesh.hub.downloader.refusals import Broken
from mesh.hub.hub_lines import HubError


def test_one_holds_a_lock_and_the_other_is_told_and_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_library, "LOCK_PAUSE", 0.01)
    file, held, told, done = tmp_path / "locks" / "a", threading.Event(), list[str](), threading.Event()

    def hold() -> None:
        with hub_library.lock(file, told.append):
            held.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(30)
    with pytest.raises(HubError) as caught, hub_library.lock(file, told.append, 0.03):
        pass
    assert caught.value.code == "busy"
    assert set(told) == {"another program downloads the same file"}
    done.set()
    other.join()
    with hub_library.lock(file, told.append):
        pass


def test_bytes_that_the_library_gets_by_its_own_protocol_are_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def download(*_: object, tqdm_class: Any, **__: object) -> None:
        with XetDownloadProgressReporter(
            reconstruction_desc="a: reconstructing file",
            transfer_desc="a: downloading bytes",
            total=100,
            log_level=40,
            tqdm_class=tqdm_class,
        ) as reporter:
            for come in (30, 100):
                reporter.update_progress(
                    SimpleNamespace(
                        total_bytes_completed=come,
                        total_transfer_bytes_completed=come // 2,
                        total_bytes=100,
                        total_transfer_bytes=50,
                        total_bytes_completion_rate=1.0,
                        total_transfer_bytes_completion_rate=1.0,
                    )
                )

    places: list[int] = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    hub_library.get_in_pieces("a/b", "0" * 40, "a.gguf", False, places.append)
    assert places == [30, 100]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (RuntimeError("no connection"), Broken),
        (PermissionError("the token has expired"), Broken),
        (ConnectionResetError(104, "reset"), Broken),
        (PermissionError(13, "denied", "/cache"), PermissionError),
    ],
)
def test_what_its_own_protocol_breaks_off_is_no_error_of_the_disk(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type[Exception]
) -> None:
    def download(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(kind):
        hub_library.get_in_pieces("a/b", "0" * 40, "a.gguf", False, lambda _: None)


def test_a_pointer_leads_to_its_blob_wherever_the_cache_is_moved() -> None:
    folder = Path("/cache/models--a--b")
    pointer = folder / "snapshots" / "0123" / "deep" / "a.gguf"
    assert hub_library.relative_pointer(pointer, folder / "blobs" / "abc") == "../../../blobs/abc"
