import pytest

from mesh.engine.install.build_progress import Course, Rate, overall, parse_step
from mesh.engine.types import Progress


def course(cores: int = 2) -> tuple[Course, list[Progress]]:
    told: list[Progress] = []
    return Course(told.append, cores), told


def test_the_stages_make_up_the_whole() -> None:
    assert overall("compiler", 0) == 0
    assert overall("check", 1) == pytest.approx(1)
    assert overall("compile", 0) == pytest.approx(overall("configure", 1))
    assert overall("compile", 7) == overall("compile", 1)
    with pytest.raises(ValueError, match="nothing"):
        overall("nothing", 0)


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("[3/211] Building CXX object a.o", (3, 211)),
        ("ninja: no work to do.", None),
        ("x [1/2]", None),
        ("[a/2]", None),
    ],
)
def test_ninjas_steps_are_read(line: str, step: tuple[int, int] | None) -> None:
    assert parse_step(line) == step


def test_the_rest_takes_as_long_as_the_rate_so_far_says() -> None:
    rate = Rate(started=100.0, first=50)
    assert rate.remaining(110.0, 50, 100) is None
    assert rate.remaining(110.0, 60, 100) == pytest.approx(40.0)


def test_a_compilation_has_a_first_guess_and_then_its_own_rate() -> None:
    one, told = course(cores=2)
    one.measure()
    one.compiled(0.0, 1, 201)
    assert told[-1].eta_seconds == pytest.approx(230, rel=0.01)
    one.compiled(10.0, 101, 201)
    assert told[-1].eta_seconds == pytest.approx(10)
    assert told[-1].fraction == pytest.approx(overall("compile", 101 / 201))


def test_a_download_counts_the_compilation_after_it() -> None:
    one, told = course(cores=46)
    one.measure()
    one.downloaded(0.0, 10, 110, "x")
    assert told[-1].eta_seconds is None
    one.downloaded(1.0, 60, 110, "x")
    assert told[-1].eta_seconds == pytest.approx(1 + 10)
    one.downloaded(2.0, 60, None, "x")
    assert told[-1].eta_seconds is None


def test_waiting_and_ready_are_told() -> None:
    one, told = course()
    one.waiting(0.4, 12.0, "another")
    one.ready("done")
    assert [(progress.stage, progress.fraction, progress.eta_seconds) for progress in told] == [
        ("waiting", 0.4, 12.0),
        ("ready", 1.0, 0.0),
    ]
    assert one.last == told[-1]
