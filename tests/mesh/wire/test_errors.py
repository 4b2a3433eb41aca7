from mesh.wire.errors import DecodeError, MeshError


def test_an_error_shows_what_is_wrong_and_then_what_to_do() -> None:
    assert str(MeshError("no pool", "mesh join")) == "no pool (mesh join)"
    assert str(MeshError("no pool")) == "no pool"


def test_whatever_a_decoder_refuses_can_be_caught_as_what_a_person_may_see() -> None:
    error = DecodeError("A number is out of its range")
    assert isinstance(error, MeshError)
    assert (error.message, error.hint) == ("A number is out of its range", "")


def test_a_class_of_errors_may_have_a_usual_hint_that_a_better_one_replaces() -> None:
    class Torn(MeshError):
        usual_hint = "get it anew"

    assert Torn("it is torn").hint == "get it anew"
    assert Torn("it is torn", "glue it").hint == "glue it"
