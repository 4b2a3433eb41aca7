from mesh.gateway.resuming.dialects import Piece
from mesh.gateway.resuming.notes import Gap, Notes


def piece(id: int, count: int, text: str) -> Piece:
    return Piece((id,), count, text, text)


def test_a_token_counts_when_all_text_up_to_it_has_come() -> None:
    notes = Notes()
    notes.add(0.0, piece(1, 1, "a"))
    notes.add(0.1, piece(2, 2, ""))
    assert (notes.settled, notes.made - notes.settled, notes.ids()) == (1, 1, [1])
    notes.add(0.2, piece(3, 3, "bc"))
    assert (notes.settled, notes.made - notes.settled, notes.ids()) == (3, 0, [1, 2, 3])


def test_a_cut_forgets_what_was_held_back_and_counts_on() -> None:
    notes = Notes()
    notes.add(0.0, piece(1, 1, "a"))
    notes.add(0.1, piece(2, 2, ""))
    notes.cut()
    notes.add(9.0, piece(7, 1, "x"))
    assert (notes.base, notes.ids()) == (1, [1, 7])


def test_tokens_that_are_not_told_leave_a_gap_that_a_tokenization_fills() -> None:
    notes = Notes()
    notes.add(0.0, piece(1, 1, "a"))
    notes.add(0.1, piece(4, 4, "日"))
    [gap] = notes.gaps
    assert gap == Gap(1, 4, "a", "日")
    first, second, third = (bytes([byte]) for byte in "日".encode())
    assert not notes.fill(gap, [(2, first), (3, second), (9, third)]), "another id than was told"
    assert not notes.fill(gap, [(8, "日".encode()), (4, b"")]), "fewer than there were"
    assert notes.fill(gap, [(1, b"a"), (2, first), (3, second), (4, third)])
    assert (notes.ids(), notes.gaps) == ([1, 2, 3, 4], [])


def test_text_that_does_not_end_as_it_was_generated_is_in_doubt() -> None:
    notes = Notes()
    notes.add(0.0, Piece((1,), 1, "a ", "a"))
    assert notes.ragged is True
    notes.add(0.1, Piece((2,), 2, "b", " b"))
    assert (notes.ragged, notes.settled) == (False, 2)
    assert notes.ids() == [1, 2]


def test_the_time_of_a_token_is_measured_and_outlives_a_cut() -> None:
    notes = Notes()
    assert notes.seconds_per_token() == 0.0
    for number in range(1, 12):
        notes.add(5.0 + 0.5 * number, piece(number, number, "x"))
    assert notes.seconds_per_token() == 0.5
    notes.cut()
    notes.add(90.0, piece(3, 1, "y"))
    assert notes.seconds_per_token() == 0.5
