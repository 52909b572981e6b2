"""Parse, dispatch to a command, and turn every failure into one line and an exit code."""

import ast
import difflib
import io
import itertools
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Annotated, NoReturn, Protocol, TypeAlias, runtime_checkable

import tyro

import diorama
from diorama.cli.bench import Bench
from diorama.cli.commands import Common, Doctor, Reproduce, StereoCommand
from diorama.cli.data import Data
from diorama.cli.generate import GenerateCommand
from diorama.cli.models import Models
from diorama.cli.parts import PartsCommand, RigCommand
from diorama.cli.people import AnimateCommand, DecomposeCommand, PersonCommand
from diorama.cli.spatial import SpatialCommand
from diorama.cli.train import Train
from diorama.cli.view import ViewCommand
from diorama.errors import DioramaError, InterruptedRunError, OutOfMemoryError, UsageError

UNFIT = re.compile(r"Error parsing (--\S+): no type matching \{None\}\|\{?([A-Z ]+)\}? could be .* from \[(.*)\]\.?")
"""What tyro says of an option with another number or kind of values."""
FLOAT = "could not convert string to float"
NO_NUMBER = re.compile(rf"Error parsing (--\S+): ({FLOAT}|invalid literal for int\(\) with base 10): '(.*?)'")
Command: TypeAlias = (
    Annotated[StereoCommand, tyro.conf.subcommand("stereo")]
    | Annotated[DecomposeCommand, tyro.conf.subcommand("decompose")]
    | Annotated[AnimateCommand, tyro.conf.subcommand("animate")]
    | Annotated[PersonCommand, tyro.conf.subcommand("person")]
    | Annotated[SpatialCommand, tyro.conf.subcommand("spatial")]
    | Annotated[ViewCommand, tyro.conf.subcommand("view")]
    | Annotated[PartsCommand, tyro.conf.subcommand("parts")]
    | Annotated[RigCommand, tyro.conf.subcommand("rig")]
    | Annotated[GenerateCommand, tyro.conf.subcommand("generate")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
)
COMMANDS = (
    *("stereo", "spatial", "view", "decompose", "animate", "person", "parts", "rig", "generate"),
    *("reproduce", "data", "models", "train", "bench", "doctor"),
)
BELOW = {"data": ("theatre", "rigs", "look"), "models": ("list", "get", "convert", "verify", "card")}
UNHEARD = 141
"""The exit code of a program whose reader has gone, as shells give it."""
DESCRIPTION = "Diorama takes a video apart into a layered scene and puts it back together differently."


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with _heard():
        if given in (["--version"], ["-V"]):
            sys.stdout.write(f"diorama {diorama.__version__}\n")
            sys.exit(0)
        try:
            command = _parsed(given or ["--help"])
        except DioramaError as error:  # options check themselves as they are made
            sys.exit(_fail(error, Common(json="--json" in given)))
        sys.exit(_guarded(command))


@contextmanager
def _heard() -> Iterator[None]:
    """Whoever reads what is printed may stop (``| head``): then the program ends without a word."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at the end
        sys.exit(UNHEARD)


@runtime_checkable
class Runnable(Protocol):
    """What every command can do."""

    @property
    def common(self) -> Common: ...

    def run(self) -> int: ...


def _parsed(given: list[str]) -> Runnable:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            command: Runnable = tyro.cli(
                Command,
                prog="diorama",
                description=DESCRIPTION,
                args=given,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise _refusal(said.getvalue(), given) from None
    return command


def _refusal(box: str, given: list[str]) -> UsageError:
    """What tyro says in a drawn box, as one line: its first paragraph, and the options it thinks were meant."""
    if given[0] not in COMMANDS and not given[0].startswith("-"):
        near = difflib.get_close_matches(given[0], COMMANDS, 1)
        hint = f"perhaps {near[0]};" if near else f"choose one of {', '.join(COMMANDS)};"
        return UsageError(f"no command called {given[0]!r}", "command line", f"{hint} see diorama --help")
    below = BELOW.get(given[0], ())
    if below and len(given) > 1 and not given[1].startswith("-") and given[1] not in below:
        near = difflib.get_close_matches(given[1], below, 1)
        hint = f"perhaps {near[0]};" if near else f"choose one of {', '.join(below)};"
        what = f"no {given[0]} command called {given[1]!r}"
        return UsageError(what, "command line", f"{hint} see diorama {given[0]} --help")
    rows = [line.strip("│ ") for line in box.splitlines() if line[:1] not in "╭╰"]
    what = _said(" ".join(itertools.takewhile(lambda row: row.strip("─"), rows)))
    meant = [row.split()[0] for row in rows if row.startswith("--")] if "Perhaps you meant" in box else []
    command = f"diorama {given[0]}" if given[0] in COMMANDS else "diorama"
    return UsageError(what, "command line", " ".join([*(f"perhaps {o};" for o in meant[:1]), f"see {command} --help"]))


def _said(what: str) -> str:
    """Values that do not fit an option, in the user's words rather than the parser's."""
    if found := NO_NUMBER.search(what):
        return f"{found[1]} {found[3]}: expected a {'number' if found[2] == FLOAT else 'whole number'}"
    found = UNFIT.search(what)
    if found is None:
        return what
    option, kinds, given = found[1], found[2].split(), " ".join(ast.literal_eval(f"[{found[3]}]"))
    kind = "number" if "FLOAT" in kinds else "whole number"
    wanted = f"{len(kinds)} {kind}s" if len(kinds) > 1 else f"a {kind}"
    return f"{option} {given or '(nothing)'}: expected {wanted}"


def _guarded(command: Runnable) -> int:
    common = command.common
    logging.basicConfig(level=logging.DEBUG if common.verbose else logging.WARNING)
    for noisy in ("numba", "PIL", "libav", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        return command.run()
    except DioramaError as error:
        return _fail(error, common)
    except KeyboardInterrupt:
        return _fail(InterruptedRunError("stopped"), common)
    except MemoryError as error:
        return _fail(OutOfMemoryError("not enough memory", str(error), "try --scale 0.5, or close programs"), common)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(
            UsageError(error.strerror or str(error), error.filename or "", "check the path and the disk"), common
        )
    except Exception as error:  # noqa: BLE001  the last resort: one line for a user, the trace for a report
        what = f"an unexpected {type(error).__name__}: {error}"
        return _fail(DioramaError(what, fix="please report it with what -v prints"), common)


def _fail(error: DioramaError, common: Common) -> int:
    if common.verbose:
        traceback.print_exc()  # of what is being handled, which may not be `error` itself
    if common.json:
        fields = {"error": error.what, "where": error.where, "fix": error.fix, "exit_code": error.exit_code}
        sys.stderr.write(json.dumps(fields) + "\n")
    else:
        sys.stderr.write(f"error: {_printable(str(error))}\n")
    return error.exit_code


def _printable(text: str) -> str:
    """One line without control characters, which file names may hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
