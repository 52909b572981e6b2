"""Every failure a user can cause, as a type with an exit code.

A message reads ``what — where — what to do``; the command line prints it as one line and exits with `exit_code`
(0 ok, 2 usage, 3 unreadable media, 4 damaged media, 5 limit exceeded, 6 weights, 7 memory, 8 partial batch,
130 interrupted).
"""


class DioramaError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: what is wrong, with what was given and what was expected.
        where: the file, option or field it concerns.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, where: object = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, str(where), fix
        super().__init__(" — ".join(part for part in (what, self.where, fix) if part))


class UsageError(DioramaError):
    """An option or argument that cannot be honoured."""

    exit_code = 2


class MediaError(DioramaError):
    """A file that is missing, or is not media of a supported kind."""

    exit_code = 3


class DamagedMediaError(DioramaError):
    """Media that starts well and then breaks; tolerated on request."""

    exit_code = 4


class LimitError(DioramaError):
    """A size, length or budget above the set limit."""

    exit_code = 5


class ModelError(DioramaError):
    """Weights or an optional package that is missing or unusable."""

    exit_code = 6


class OutOfMemoryError(DioramaError):
    """Not enough memory, also after the stated fallbacks."""

    exit_code = 7


class BatchError(DioramaError):
    """Some items of a batch failed; the others are done."""

    exit_code = 8


class InterruptedRunError(DioramaError):
    """The user stopped the run; what is done is kept for ``--resume``."""

    exit_code = 130
