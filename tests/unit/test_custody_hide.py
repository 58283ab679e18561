"""Keys are not left lying about in the processes that were given them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ValidationError

from custody import box
from custody.seal import _HEAD, derive_key, seal
from devstack.paths import ROOT
from settings.model import Settings

KEY = "correct-horse-battery-staple"
NAME = "MILLRACE_WALLET_ENC_KEY"
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux")

SHOW = f"""
import os
from agents.runtime.context import wallet_passphrase
from settings.model import Settings
key = wallet_passphrase(Settings())
environ = open("/proc/self/environ", "rb").read()
print(key == {KEY!r}, key.encode() in environ, {NAME!r} in os.environ, b"OTHER=kept" in environ)
"""

SHOW_NOTIFY = """
import asyncio, ctypes, os
from types import SimpleNamespace
from agents.roles import ROLES
from settings.model import Settings
asyncio.run(ROLES["notify"](SimpleNamespace(settings=Settings())))
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), "MILLRACE_WEBHOOK_ENC_KEY" in os.environ)
"""

GUARD = """
import ctypes, resource
from custody.hide import forbid_dumps
_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
forbid_dumps()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


def run(script: str, **environ: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        cwd="/",
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.split()


@needs_proc
def test_the_key_is_gone_from_the_environment_that_others_can_read() -> None:
    assert run(SHOW, **{NAME: KEY, "OTHER": "kept"}) == ["True", "False", "False", "True"]


@needs_proc
def test_whoever_can_sign_webhooks_keeps_its_key_to_itself() -> None:
    assert run(SHOW_NOTIFY, MILLRACE_WEBHOOK_ENC_KEY=KEY) == ["0", "False"]


@needs_proc
def test_the_signer_is_not_dumped() -> None:
    assert run(GUARD) == ["0", "0"]


def test_one_key_for_both_purposes_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError, match="must differ") as caught:
        Settings.model_validate({"wallet_enc_key": KEY, "webhook_enc_key": KEY})
    assert KEY not in str(caught.value)


def test_a_key_of_the_wrong_type_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"wallet_enc_key": [KEY]})
    assert KEY not in str(caught.value)


def test_what_notify_derives_opens_no_master_secret_even_from_the_same_text() -> None:
    envelope = seal(KEY, b"words", "master", iterations=10)
    head, sealed = envelope[: _HEAD.size], envelope[_HEAD.size :]
    nonce = head[-12:]
    derived = derive_key(KEY, box._SALT, 10)
    with pytest.raises(InvalidTag):
        AESGCM(derived).decrypt(nonce, sealed, head + b"master")
