"""What a person is told when a step of the demo does not work."""

from mesh.tools.demo.step_failed import StepFailed


def test_a_step_that_failed_says_what_to_do_next() -> None:
    assert "mesh doctor" in StepFailed("the model is too small").hint
