from mesh.gateway.resuming.settled_tokens import Gap, fill


def test_a_tokenization_fills_a_gap_if_it_agrees_with_all_that_is_known() -> None:
    gap, ids = Gap(1, 4, "a", "日"), [1, None, None, 4]
    first, second, third = (bytes([byte]) for byte in "日".encode())
    assert not fill(ids, gap, [(2, first), (3, second), (9, third)]), "another id than was told"
    assert not fill(ids, gap, [(8, "日".encode()), (4, b"")]), "fewer than there were"
    assert not fill(ids, gap, [(2, first), (3, second), (4, b"x")]), "another text"
    assert ids == [1, None, None, 4]
    assert fill(ids, gap, [(1, b"a"), (2, first), (3, second), (4, third)])
    assert ids == [1, 2, 3, 4]
