"""TODO."""

import typer

app = typer.Typer()
