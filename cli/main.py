"""The `millrace` command. One file a verb group; each imports what it needs when it is called."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import (
    address,
    asset,
    balance,
    deposit,
    dlq,
    doctor,
    faucet,
    network,
    owner,
    reconcile,
    rescan,
    setup,
    stack,
    tenant,
    wallet,
    webhook,
    withdraw,
    work,
)
from cli.options import Chains
from cli.output import prepare_streams
from cli.session import tell


class TellingGroup(TyperGroup):
    """Tells expected errors in words, and lets the others through with their traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own signature
        """Run the command named in `ctx`."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(error, (typer.Exit, typer.Abort)):
                raise
            status = tell(error)
            if status is None:
                raise
            raise typer.Exit(status) from error


app = typer.Typer(
    name="millrace",
    cls=TellingGroup,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    # Tracebacks with local variables would show secrets.
    pretty_exceptions_enable=False,
    help="Deposits and withdrawals of a crypto business, from the node to the ledger.",
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"millrace {version('millrace')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Deposits and withdrawals of a crypto business, from the node to the ledger."""


@app.command()
def demo(chain: Chains = None) -> None:
    """Play the whole story on real servers: deposit, withdrawal, reorganisation."""
    chains = stack.read_chains(chain)
    status: int = importlib.import_module("cli.demo").play(chains)
    raise typer.Exit(status)


app.command("init")(setup.init)
app.command("migrate")(setup.migrate)
app.command("worker")(work.worker)
app.command("up")(stack.up)
app.command("down")(stack.down)
app.command("faucet")(faucet.faucet)
app.add_typer(tenant.app, name="tenant")
app.add_typer(asset.app, name="asset")
app.add_typer(address.app, name="address")
app.command("balance")(balance.balance)
app.command("statement")(balance.statement)
app.add_typer(owner.app, name="owner")
app.add_typer(deposit.app, name="deposit")
app.add_typer(withdraw.app, name="withdraw")
app.command("rescan")(rescan.rescan)
app.command("reconcile")(reconcile.reconcile)
app.add_typer(webhook.app, name="webhook")
app.add_typer(dlq.app, name="dlq")
app.add_typer(network.app, name="network")
app.add_typer(wallet.app, name="wallet")
app.command("doctor")(doctor.doctor)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    prepare_streams()
    app(args=arguments, prog_name="millrace")
