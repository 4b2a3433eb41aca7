"""A turn: its limits, its child process, and what is read from the child's words."""

import sys
from pathlib import Path

from tests.fuzz.campaign import RSS_MIB, Turn, flags, fuzz, plant, read_output
from tests.fuzz.harness import Harness

HARNESS = Harness("name", "nothing", lambda: lambda data: None, lambda: [b"one", b"two"], max_len=99)

FINE = """INFO: Running with entropic power schedule (0xFF, 100).
#2	INITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 100Mb
#1024	NEW    cov: 78 ft: 120 corp: 24/512b lim: 4 exec/s: 900 rss: 105Mb
#20000	DONE   cov: 80 ft: 130 corp: 25/512b lim: 4 exec/s: 900 rss: 105Mb
stat::number_of_executed_units: 20000
stat::average_exec_per_sec:     1538
stat::peak_rss_mb:              105
"""
CRASH = """#2	INITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 100Mb
#512	pulse  cov: 12 ft: 11 corp: 1/1b exec/s: 0 rss: 100Mb

 === Uncaught Python exception: ===
AttributeError: 'str' object has no attribute 'get'
Traceback (most recent call last):
==1== ERROR: libFuzzer: fuzz target exited
SUMMARY: libFuzzer: fuzz target exited
artifact_prefix='/c/'; Test unit written to /c/crash-1234
"""


def child(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def test_a_turn_is_read_from_the_fuzzers_statistics() -> None:
    assert read_output("fact", FINE, 0, 13.04) == Turn("fact", 20000, 80, 25, 1538, 105, 13.0)


def test_a_crash_is_told_with_its_error_and_its_input() -> None:
    turn = read_output("fact", CRASH, 77, 1.0)
    assert turn.crash == "AttributeError: 'str' object has no attribute 'get'"
    assert turn.artifact == "/c/crash-1234"
    assert turn.inputs == 512


def test_a_hang_and_a_growth_are_told_in_the_fuzzers_words() -> None:
    for words in ("timeout after 11 seconds", "out-of-memory (used: 800Mb; limit: 768Mb)"):
        assert words in read_output("fact", f"==1== ERROR: libFuzzer: {words}\n", 70, 1.0).crash


def test_a_child_that_cannot_begin_is_no_success() -> None:
    turn = read_output("fact", "ModuleNotFoundError: No module named 'atheris'\n", 1, 1.0)
    assert turn.crash == "exit code 1: ModuleNotFoundError: No module named 'atheris'"
    assert "nothing" in read_output("fact", "", 1, 1.0).crash


def test_the_fuzzer_is_limited_in_inputs_time_length_and_memory(tmp_path: Path) -> None:
    given = flags(HARNESS, tmp_path, 1000, 0.3, 7)
    assert {"-runs=1000", "-max_total_time=1", "-max_len=99", f"-rss_limit_mb={RSS_MIB}", "-seed=7"} <= set(
        given
    )
    assert given[-2:] == [str(tmp_path / "corpus"), str(tmp_path / "seeds")]


def test_real_encodings_are_planted_and_what_was_found_stays(tmp_path: Path) -> None:
    plant(HARNESS, tmp_path)
    (tmp_path / "corpus" / "found").write_bytes(b"found")
    plant(HARNESS, tmp_path)
    assert sorted(path.read_bytes() for path in (tmp_path / "seeds").iterdir()) == [b"one", b"two"]
    assert (tmp_path / "corpus" / "found").exists()


def test_a_turn_runs_a_child_and_keeps_its_words(tmp_path: Path) -> None:
    program = "import sys; print('stat::number_of_executed_units: 5', sys.argv[1], file=sys.stderr)"
    turn = fuzz(HARNESS, tmp_path, 5, 30.0, 1, child(program))
    assert (turn.inputs, turn.crash) == (5, "")
    assert (tmp_path / "log").read_text().split()[-1] == "name"


def test_a_child_that_does_not_end_is_ended(tmp_path: Path) -> None:
    program = "import signal; signal.pause()"
    turn = fuzz(HARNESS, tmp_path, 5, 0.0, 1, child(program), grace=0.2)
    assert "did not end" in turn.crash
