from mesh.cli.chat.answer_measure import AnswerMeasure


def test_times_are_those_of_the_first_token_the_speed_and_the_pauses() -> None:
    measure = AnswerMeasure(100.0)
    for at, lost in ((102.0, ""), (102.5, ""), (104.5, "the leader was lost"), (105.0, ""), (106.0, "")):
        measure.piece(at, lost, "waiting for the next token")
    measure.ended(106.25)
    assert measure.times() == {
        "first_token_seconds": 2.0,
        "seconds": 6.25,
        "tokens": 5,
        "tokens_per_second": 1.0,
        "longest_pause_seconds": 2.0,
        "pauses": [
            {"seconds": 2.0, "reason": "the leader was lost"},
            {"seconds": 1.0, "reason": "waiting for the next token"},
        ],
    }
    measure.counted(9)
    assert measure.times()["tokens_per_second"] == 2.0
    assert measure.longest_pause() == {"seconds": 2.0, "reason": "the leader was lost"}


def test_an_answer_that_never_came_has_no_speed() -> None:
    measure = AnswerMeasure(0.0)
    measure.ended(3.0)
    times = measure.times()
    assert (times["first_token_seconds"], times["tokens"], times["tokens_per_second"]) == (None, 0, None)
    assert measure.longest_pause() is None


def test_waiting_before_the_first_token_is_a_pause_only_where_a_leader_was_lost() -> None:
    calm, lost = AnswerMeasure(0.0), AnswerMeasure(0.0)
    calm.piece(5.0, "", "reading the prompt")
    lost.piece(5.0, "the leader was lost", "")
    assert calm.times()["pauses"] == []
    assert lost.times()["pauses"] == [{"seconds": 5.0, "reason": "the leader was lost"}]
    assert lost.times()["longest_pause_seconds"] == 5.0
