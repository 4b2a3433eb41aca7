"""The errors a person may see."""


class MeshError(Exception):
    """Something a person can act on: ``message`` says what is wrong, ``hint`` what to do about it."""

    usual_hint = ""
    """Of a class of errors: what to do where nothing better is known."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class OlderFormError(MeshError):
    """A fact says what the form of an older wire version has no field for."""


class DecodeError(MeshError):
    """The bytes are not what they claim to be: the one error that a decoder raises."""
