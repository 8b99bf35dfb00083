"""The errors whose message may be shown to a user.

Every message is one or two plain sentences that say what is allowed or what to do. Anything that is not a `UserError`
is a bug: it is logged, and the user sees an apology with a request id.
"""


class UserError(Exception):
    """Something the person who asked can understand or mend. `str(error)` is safe to show."""

    @property
    def sentence(self) -> str:
        """The message; where it is a `Sentence` it still is one, which `str(error)` is not."""
        return self.args[0] if self.args and isinstance(self.args[0], str) else str(self)


class InvalidPicture(UserError):
    """The uploaded file is not a picture that can be used."""


class InvalidVideo(UserError):
    """The uploaded file is not a clip that can be used."""


class InvalidInput(UserError):
    """A text or a choice is missing, too long or unknown."""


class ModelUnavailable(UserError):
    """A model, or one of its files, cannot be loaded: the message says why and what would help."""


class Busy(UserError):
    """Too much is waiting already, or memory ran out: trying again later helps."""


class DeadlineExceeded(UserError):
    """The answer took longer than a request may."""


class Cancelled(UserError):
    """The person stopped the request, or left."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, short enough to be quoted in a sentence; its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(" .:") if lines else type(error).__name__
