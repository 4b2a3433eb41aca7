from tests.mesh.cli.chat.screen import Screen


def test_text_wraps_and_scrolls() -> None:
    screen = Screen(4, 2)
    screen.feed("abcdef\ngh\nij")
    assert screen.text() == "abcd\nef\ngh\nij"


def test_the_character_after_a_full_row_is_lost_when_the_cursor_was_moved() -> None:
    screen = Screen(4, 3)
    screen.feed("abcd\x1b7\x1b8e")
    assert screen.text() == "abce"


def test_a_saved_place_is_one_of_the_screen_and_not_of_the_text() -> None:
    screen = Screen(4, 2)
    screen.feed("a\nb\x1b7\nc\x1b8d")
    assert screen.text() == "a\nb\ncd"
