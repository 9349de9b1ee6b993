"""``tuner checkpoint``: files of trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tuner.cli.environment import check_writable, out

app = typer.Typer(no_args_is_help=True, help="Checkpoints: make RecBole's safe to load.")


@app.callback()
def _group() -> None:
    """A group even while it has one command."""


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A checkpoint, for example RecBole's.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the target.")] = False,
) -> None:
    """Write a checkpoint without the Python objects in it, so that any reader, RecBole included, loads it safely."""
    from model.conversion import convert_checkpoint

    check_writable(target.absolute().parent, "TARGET")
    done = convert_checkpoint(source, target, overwrite=force)
    of = " ".join(filter(None, (done.model, done.dataset and f"on {done.dataset}"))) or "unknown model"
    out.print(escape(f"{target}: {of}, {done.tensors} tensors with {done.numbers:,} numbers."), soft_wrap=True)
    if done.best_epoch is not None:
        out.print(f"The run has not ended here; its weights are those of its best epoch so far, {done.best_epoch}.")
    if done.dropped:
        out.print(escape(f"Left out, because they hold objects: {', '.join(done.dropped)}."), soft_wrap=True)
