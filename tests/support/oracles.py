"""Independent implementations that ours are compared with."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings

_folder = tempfile.mkdtemp(prefix="millrace-bitcoinlib-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ.setdefault("BCL_DATA_DIR", _folder)  # it would write into the home folder otherwise

with warnings.catch_warnings():
    # Its import leaves a file open and uses names that SQLAlchemy has moved.
    warnings.simplefilter("ignore")
    from bitcoinlib.encoding import change_base
    from bitcoinlib.keys import HDKey, Key
    from bitcoinlib.transactions import Transaction

__all__ = ["HDKey", "Key", "Transaction", "change_base"]
