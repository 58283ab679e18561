"""A real node for Bitcoin, Dogecoin and Litecoin: Debian's litecoind 0.21, in regtest.

It speaks Bitcoin Core's RPC with its wallet, and its scripts are Bitcoin's. Under Bitcoin's or
Dogecoin's constants the same scripts have other addresses: what is to be paid goes to the script,
by the node's own name for it. Not the node that users run: docs/chains/bitcoin.md says what that
leaves untried. Debian builds it without ZeroMQ.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

from chain_adapters.bitcoin.chains import REGTEST as BITCOIN
from chain_adapters.dogecoin.chains import REGTEST as DOGECOIN
from chain_adapters.litecoin.chains import REGTEST as LITECOIN
from chain_adapters.utxo.chain import UtxoChain
from devstack.chains.bitcoin_chain import BitcoinChain, in_coins
from devstack.chains.chain import DevNode
from devstack.paths import cache_dir
from devstack.process import GuardedProcess, ServerError

USER = "millrace"
BLOCKS = 250
"""Mined at the first start. The first 150 of regtest pay 50 coins each, spendable 100 blocks on."""
ROOT = Path(__file__).resolve().parents[2]

_CONFIG = """\
regtest=1
server=1
listen=0
dnsseed=0
txindex=1
# All workers and whoever drives the node ask at once.
rpcworkqueue=64
# Nobody is cut off who has been silent for a while: what was just sent would be lost or not.
rpcservertimeout=86400
rpcuser={user}
rpcpassword={password}
fallbackfee=0.0001
walletbroadcast=0
mempoolreplacement=1
mempoolexpiry=1
limitancestorcount=100000
limitdescendantcount=100000
limitancestorsize=5000
limitdescendantsize=5000
# The dust limit of the chain that is played; this build's own is Litecoin's, ten times Bitcoin's.
dustrelayfee={dust_relay_fee}
# Litecoin's extension block (MWEB) would start at block 432, and only if money went in with it.
vbparams=mweb:999999999999:999999999999
[regtest]
rpcport={port}
rpcbind=127.0.0.1
rpcallowip=127.0.0.1
"""


def find_litecoind() -> Path | None:
    """Return the node's binary: the fetched one, else the system's, else None.

    The system's /usr/bin/litecoind is a script that writes into the home folder: not that one.
    """
    for path in (bundled_dir() / "usr/lib/litecoin/litecoind", Path("/usr/lib/litecoin/litecoind")):
        if path.exists():
            return path
    on_path = shutil.which("litecoind")
    return Path(on_path) if on_path else None


def bundled_dir() -> Path:
    """Return where ops/fetch_litecoind.sh puts the node and its libraries."""
    return cache_dir() / "litecoind"


class CoreNode(DevNode):
    """One litecoind with a wallet that holds some thousand coins, under a chain's constants.

    User and password are in `rpc_url`; the password is kept in the data folder.
    """

    name = "litecoind"
    has_tokens = False
    reorganises = True
    attempts = 3
    chain: ClassVar[UtxoChain]

    def __init__(
        self, data_dir: Path, *, port: int | None = None, block_time_s: int | None = None
    ) -> None:
        super().__init__(data_dir, port=port, block_time_s=block_time_s)
        self._miner: GuardedProcess | None = None

    @classmethod
    def is_installed(cls) -> bool:
        """See DevNode: Debian 12 alone has the recorded litecoind."""
        return find_litecoind() is not None

    @property
    def password(self) -> str:
        """The password, made at first use."""
        file = self.data_dir / "password"
        if not file.exists():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(secrets.token_hex(16))
        return file.read_text()

    @property
    def rpc_url(self) -> str:
        """JSON-RPC over HTTP, with user and password."""
        return f"http://{USER}:{self.password}@127.0.0.1:{self.port}"

    def network_config(self) -> dict[str, Any]:
        """Return the network's entry in the settings."""
        return {
            "network": self.chain.network,
            "kind": self.kind,
            "rpc_urls": [self.rpc_url],
            "native_asset": self.asset,
            "confirmations": 2,
            "start_height": BLOCKS,
            "poll_interval_s": 0.2,
            # A payment that waits for another one's change goes on soon after it is mined.
            "rebroadcast_after_s": 5.0,
        }

    def open_chain(self) -> AbstractAsyncContextManager[BitcoinChain]:
        """Return a client of this node."""
        return BitcoinChain(self.rpc_url, self.chain)

    def start(self) -> None:
        """Start, see that the wallet has coins to give away, and begin to mine if ordered."""
        super().start()
        if not self._call("listwallets"):
            self._call("createwallet", "bank", False, False, "", False, False, True)
        if not self._call("getblockcount"):
            self._call("generatetoaddress", BLOCKS, self._call("getnewaddress"))
        if self.block_time_s and self._miner is None:
            command = [sys.executable, "-m", "devstack.chains.bitcoin_miner", str(self.data_dir)]
            command += [str(self.port), str(self.block_time_s)]
            self._miner = GuardedProcess(command, self.data_dir / "miner.log", directory=ROOT)

    def stop(self) -> None:
        """Stop mining, then the node."""
        self._end_miner()
        super().stop()

    def kill(self) -> None:
        """Kill the miner and the node at once."""
        self._end_miner()
        super().kill()

    def _end_miner(self) -> None:
        if self._miner is not None:
            self._miner.end(self.orphan_signal, timeout_s=5.0)
            self._miner = None

    def _prepare(self) -> None:
        config = self.data_dir / "litecoin.conf"
        config.touch(mode=0o600)
        text = _CONFIG.format(
            user=USER,
            password=self.password,
            port=self.port,
            dust_relay_fee=in_coins(self.chain.dust_rate),
        )
        config.write_text(text)

    def _command(self) -> list[str]:
        binary = find_litecoind()
        if binary is None:
            raise ServerError("no litecoind: run ops/fetch_litecoind.sh, or put one on PATH")
        command = [str(binary), f"-datadir={self.data_dir}", "-printtoconsole=1"]
        return [*command, f"-conf={self.data_dir / 'litecoin.conf'}", "-debuglogfile=0"]

    def _environment(self) -> Mapping[str, str]:
        libraries = bundled_dir() / "usr" / "lib" / "x86_64-linux-gnu"
        return {**os.environ, "LD_LIBRARY_PATH": str(libraries)}

    def _answers(self) -> bool:
        try:
            self._call("getblockcount")
        except (OSError, ValueError):
            return False
        return True

    def _call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - any JSON
        """Call the node before there is a client. OSError if it does not answer well."""
        token = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}",
            data=json.dumps({"id": 1, "method": method, "params": params}).encode(),
            headers={"authorization": f"Basic {token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)["result"]


class BitcoinNode(CoreNode):
    """The node under Bitcoin's constants."""

    kind = "bitcoin"
    asset = "BTC"
    chain = BITCOIN


class LitecoinNode(CoreNode):
    """The node under its own constants."""

    kind = "litecoin"
    asset = "LTC"
    chain = LITECOIN


class DogecoinNode(CoreNode):
    """The node under Dogecoin's constants: no witnesses, other dust and fees."""

    kind = "dogecoin"
    asset = "DOGE"
    account_minor = 10**6
    chain = DOGECOIN
