"""``packhorse completion``: left out of the first page of help, since a shell asks once."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from . import _show, shell_name


@click.command("completion", hidden=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL:  source <(packhorse completion bash)"""
    root = ctx.find_root()
    prog = root.info_name or "packhorse"
    variable = f"_{shell_name(prog)}_COMPLETE"
    kind = get_completion_class(shell)
    assert kind is not None
    _show.echo(kind(root.command, {}, prog, variable).source())
