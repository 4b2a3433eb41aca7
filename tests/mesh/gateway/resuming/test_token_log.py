from mesh.gateway.resuming.dialects import StreamPiece
from mesh.gateway.resuming.settled_tokens import Gap
from mesh.gateway.resuming.token_log import TokenLog


def piece(id: int, count: int, text: str) -> StreamPiece:
    return StreamPiece((id,), count, text, text)


def ids(token_log: TokenLog) -> list[int | None]:
    return list(token_log.tokens().ids)


def test_a_token_counts_when_all_text_up_to_it_has_come() -> None:
    token_log = TokenLog()
    token_log.add(0.0, piece(1, 1, "a"))
    token_log.add(0.1, piece(2, 2, ""))
    assert (token_log.settled, token_log.made - token_log.settled, ids(token_log)) == (1, 1, [1])
    token_log.add(0.2, piece(3, 3, "bc"))
    assert (token_log.settled, token_log.made - token_log.settled, ids(token_log)) == (3, 0, [1, 2, 3])


def test_a_cut_forgets_what_was_held_back_and_counts_on() -> None:
    token_log = TokenLog()
    token_log.add(0.0, piece(1, 1, "a"))
    token_log.add(0.1, piece(2, 2, ""))
    token_log.cut()
    token_log.add(9.0, piece(7, 1, "x"))
    assert (token_log.base, ids(token_log)) == (1, [1, 7])


def test_tokens_that_are_not_told_leave_a_gap() -> None:
    token_log = TokenLog()
    token_log.add(0.0, piece(1, 1, "a"))
    token_log.add(0.1, piece(4, 4, "日"))
    tokens = token_log.tokens()
    assert (tokens.ids, tokens.gaps) == ((1, None, None, 4), (Gap(1, 4, "a", "日"),))
    assert tokens.last == (1, "日")


def test_text_that_does_not_end_as_it_was_generated_is_in_doubt() -> None:
    token_log = TokenLog()
    token_log.add(0.0, StreamPiece((1,), 1, "a ", "a"))
    assert token_log.ragged is True
    token_log.add(0.1, StreamPiece((2,), 2, "b", " b"))
    assert (token_log.ragged, token_log.settled) == (False, 2)
    assert ids(token_log) == [1, 2]


def test_the_time_of_a_token_is_measured_and_outlives_a_cut() -> None:
    token_log = TokenLog()
    assert token_log.seconds_per_token() == 0.0
    for number in range(1, 12):
        token_log.add(5.0 + 0.5 * number, piece(number, number, "x"))
    assert token_log.seconds_per_token() == 0.5
    token_log.cut()
    token_log.add(90.0, piece(3, 1, "y"))
    assert token_log.seconds_per_token() == 0.5
