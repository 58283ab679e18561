"""docs/chains/bitcoin.md and dogecoin.md say what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from chain_adapters.bitcoin.chains import CHAINS as BITCOIN
from chain_adapters.dogecoin.chains import CHAINS as DOGECOIN
from chain_adapters.litecoin.chains import CHAINS as LITECOIN
from chain_adapters.registry import open_adapter
from settings.model import Asset, Network

FOLDER = Path(__file__).parents[2] / "docs" / "chains"
KINDS = ["bitcoin", "dogecoin"]


def text_of(kind: str) -> str:
    return (FOLDER / f"{kind}.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_settings_shown_are_valid_and_where_they_say_so_the_defaults(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{kind.upper()}_RPC_PASSWORD", "secret")
    [example] = re.findall(r"```toml\n(.*?)```", text_of(kind), re.DOTALL)
    shown = tomllib.loads(example)
    [network], [asset] = shown["networks"], shown["assets"]
    configured = Network(**network)
    assert Asset(**asset).network == configured.network
    adapter = open_adapter(configured)
    assert (adapter.network, adapter.native_decimals) == (configured.network, asset["decimals"])
    await adapter.close()
    required = ("network", "kind", "rpc_urls", "native_asset")
    bare = Network(**{name: network[name] for name in required})
    defaults = re.findall(r"^(\w+) = \d+ +# .*the default", example, re.MULTILINE)
    assert len(defaults) >= 5
    for name in defaults:
        assert getattr(configured, name) == getattr(bare, name), name


def test_every_network_that_is_named_there_is_known() -> None:
    known = {chain.network for chain in (*BITCOIN, *DOGECOIN, *LITECOIN)}
    named = {id_ for kind in KINDS for id_ in re.findall(r"bip122:\w+", text_of(kind))}
    assert named <= known
    assert {chain.network for chain in BITCOIN} <= named
