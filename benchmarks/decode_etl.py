"""ethereum-etl reads recorded blocks: run by its own Python, driven by benchmarks/decode.py.

The first argument is a folder of recorded answers. For every line on standard input all blocks
are read once, and a line with the CPU nanoseconds and the number of token transfers comes back.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from ethereumetl.mappers.block_mapper import EthBlockMapper  # type: ignore[import-not-found]
from ethereumetl.mappers.receipt_log_mapper import EthReceiptLogMapper  # type: ignore[import-not-found]
from ethereumetl.mappers.receipt_mapper import EthReceiptMapper  # type: ignore[import-not-found]
from ethereumetl.mappers.token_transfer_mapper import EthTokenTransferMapper  # type: ignore[import-not-found]
from ethereumetl.mappers.transaction_mapper import EthTransactionMapper  # type: ignore[import-not-found]
from ethereumetl.service.token_transfer_extractor import EthTokenTransferExtractor  # type: ignore[import-not-found]
from ethereumetl.streaming.enrich import enrich_token_transfers, enrich_transactions  # type: ignore[import-not-found]

logging.disable(logging.CRITICAL)

BLOCKS, TRANSACTIONS = EthBlockMapper(), EthTransactionMapper()
RECEIPTS, LOGS = EthReceiptMapper(), EthReceiptLogMapper()
EXTRACTOR, TOKEN_TRANSFERS = EthTokenTransferExtractor(), EthTokenTransferMapper()


def read_block(raw: bytes) -> int:
    """Do for one block what its jobs do for each item, without their input, output and threads.

    These are ExportBlocksJob, ExportReceiptsJob and ExtractTokenTransfersJob; its streaming
    adapter then joins transactions with their receipts, and token transfers with their block.
    """
    block_answer, receipts_answer = json.loads(raw)
    block = BLOCKS.json_dict_to_block(block_answer["result"])
    blocks = [BLOCKS.block_to_dict(block)]
    transactions = [TRANSACTIONS.transaction_to_dict(t) for t in block.transactions]
    receipts = [RECEIPTS.json_dict_to_receipt(item) for item in receipts_answer["result"]]
    logs = [LOGS.receipt_log_to_dict(log) for receipt in receipts for log in receipt.logs]
    found = [EXTRACTOR.extract_transfer_from_log(LOGS.dict_to_receipt_log(log)) for log in logs]
    moved = [TOKEN_TRANSFERS.token_transfer_to_dict(t) for t in found if t is not None]
    enrich_transactions(transactions, [RECEIPTS.receipt_to_dict(receipt) for receipt in receipts])
    return len(enrich_token_transfers(blocks, moved))


def main() -> None:
    """Answer lines until standard input ends."""
    answers = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.json"))]
    for _ in sys.stdin:
        started = time.process_time_ns()
        found = sum(map(read_block, answers))
        print(time.process_time_ns() - started, found, flush=True)


main()
