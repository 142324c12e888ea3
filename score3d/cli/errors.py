"""Errors as users see them: one line, exit code 2 for their input, 1 for a failure."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

__all__ = ["reported"]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turn expected errors into one line on stderr and an exit code; `debug` lets them through.

    Errors that blame the input are ValueErrors by convention of this package (ConfigError,
    PromptError, RunFolderError, FileFormatError); failures are RuntimeErrors and OSErrors.
    """
    try:
        yield
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        # click's and Typer's own control flow passes through here as RuntimeErrors
        if debug or isinstance(error, typer.Exit | typer.Abort):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        sys.stderr.write(f"score3d: {text}\n")
        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from None
