from pathlib import Path

from mesh.engine.process.logfile import LogFile


def test_lines_are_on_disk_at_once(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "deep" / "x.log")
    log.write("hello")
    assert (tmp_path / "deep" / "x.log").read_text() == "hello\n"
    log.close()


def test_a_full_file_gives_way_and_two_are_the_most(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", limit=1000)
    for number in range(1000):
        log.write(f"line {number:04}")
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["x.log", "x.log.1"]
    assert sum(file.stat().st_size for file in files) <= 2000
    lines = (tmp_path / "x.log.1").read_text() + (tmp_path / "x.log").read_text()
    kept = lines.split("\n")[:-1]
    assert kept == [f"line {number:04}" for number in range(1000 - len(kept), 1000)]


def test_a_log_goes_on_where_the_last_process_left_it(tmp_path: Path) -> None:
    for text in ("one", "two"):
        log = LogFile(tmp_path / "x.log")
        log.write(text)
        log.close()
    assert (tmp_path / "x.log").read_text() == "one\ntwo\n"


def test_the_last_lines_are_remembered(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", remembered=2)
    for text in "abc":
        log.write(text)
    log.close()
    assert log.last_lines == ("b", "c")


def test_a_place_that_cannot_be_written_costs_the_file_but_not_the_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = LogFile(tmp_path / "file" / "x.log")
    log.write("hello")
    assert log.last_lines == ("hello",)
