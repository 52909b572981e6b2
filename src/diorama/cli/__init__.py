"""The command line: options in, one function call, exit code out. No logic lives here."""

from diorama.cli.main import main

__all__ = ["main"]
