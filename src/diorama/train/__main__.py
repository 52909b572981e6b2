"""``python -m diorama.train RECIPE --minutes 10``: training where only the training libraries are installed.

Several GPUs: ``torchrun --nproc_per_node 8 -m diorama.train RECIPE --minutes 10``.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from diorama.core.progress import Silent
from diorama.errors import DioramaError, InterruptedRunError, UsageError
from diorama.train.options import listing, options, start, summary


class Lines:
    """Progress as plain lines on standard error."""

    def begin(self, stage: str, total: int | None) -> None:
        """A line."""
        sys.stderr.write(f"{stage}\n")

    def advance(self, steps: int = 1) -> None:
        """Nothing: notes tell how far it is."""

    def note(self, message: str) -> None:
        """A line."""
        sys.stderr.write(f"note: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit code."""
    given = vars(_parser().parse_args(arguments))
    name, listed = given.pop("recipe"), given.pop("list")
    if listed or name is None:
        sys.stdout.write(listing())
        return 0 if listed else 2
    first = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        report = start(name, values, Lines() if first else Silent())
    except DioramaError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        return UsageError.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped\n")
        return InterruptedRunError.exit_code
    if first:
        sys.stdout.write(summary(report))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m diorama.train", description="Train a recipe.")
    parser.add_argument("recipe", nargs="?", help="see --list")
    parser.add_argument("--list", action="store_true", help="list the recipes")
    for option in options():
        flag, text = f"--{option.name.replace('_', '-')}", option.help.replace("%", "%%")
        if option.kind is bool:
            parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=text)
        else:
            parser.add_argument(
                flag,
                type=option.kind,
                nargs="+" if option.many else None,
                choices=option.choices or None,
                default=argparse.SUPPRESS,
                help=text,
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
