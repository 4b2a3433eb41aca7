from mesh.net.stream_kinds import OPEN_KINDS, StreamKind


def test_the_words_for_kinds_are_the_wires() -> None:
    words = "probe gossip admit redeem approve tunnel api resume move copy copies usage fetch reasons words"
    assert [kind.value for kind in StreamKind] == words.split()


def test_a_node_outside_the_pool_may_only_ask_for_admission() -> None:
    assert {"admit"} == OPEN_KINDS
