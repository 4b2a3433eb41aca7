from leader.door.accounts import Account, Accounts


def accounts(most: int) -> Accounts:
    return Accounts(lambda account: not account.is_open, most)


def test_a_member_has_one_account() -> None:
    kept = accounts(2)
    one = kept.of("anna")
    assert one is not None
    one.requests += 1
    assert kept.of("anna") is one
    assert {id: account.requests for id, account in kept.all().items()} == {"anna": 1}


def test_of_too_many_the_least_recently_used_goes() -> None:
    kept = accounts(2)
    for member in ("anna", "bert", "anna", "carl"):
        assert kept.of(member) is not None
    assert list(kept.all()) == ["anna", "carl"]


def test_none_goes_that_is_still_asking() -> None:
    kept = accounts(2)
    anna, bert = kept.of("anna"), kept.of("bert")
    assert anna is not None
    assert bert is not None
    anna.queued = 1
    kept.of("carl")
    assert list(kept.all()) == ["anna", "carl"]
    carl = kept.of("carl")
    assert carl is not None
    carl.in_flight = 1
    assert kept.of("dora") is None
    assert Account(in_flight=1).is_open
