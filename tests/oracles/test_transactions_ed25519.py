"""Signed transactions are those of wallet-core, byte for byte: chains on ed25519.

Both are given the same key, payment and terms, and neither sees what the other makes.
"""

from __future__ import annotations

from base64 import b64decode

import msgspec
import pytest
from pytoniq_core import Cell
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from chain_adapters.solana import pay as solana
from chain_adapters.solana.programs import TOKEN_PROGRAM
from chain_adapters.solana.tokens import associated_account
from chain_adapters.stellar import pay as stellar
from chain_adapters.ton import pay as ton
from chain_adapters.ton.constants import JETTON_ATTACHED_MINOR, JETTON_FORWARD_MINOR, WALLET_ID
from chain_adapters.ton.marks import mark
from chain_adapters.types import Payment
from tests.oracles.chains import open_wallet, source, stranger, text
from tests.oracles.wallet_core import WalletCore

ROUNDS = 50
USDC_SOLANA = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
USDC_STELLAR = "USDC:GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"

ENVELOPE_TYPE_TX = bytes((0, 0, 0, 2))
"""What the oracle leaves out: it writes the older form of an envelope (CAP-15), signed alike."""
ACCOUNT_PROGRAM = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"


@pytest.mark.parametrize("memo", [None, "id", "text", "hash", "return"])
@pytest.mark.parametrize("kind", ["payment", "create_account", "token"])
def test_stellar(wallet_core: WalletCore, kind: str, memo: str | None) -> None:
    wallet = open_wallet(wallet_core, "stellar", USDC_STELLAR)
    for _ in range(ROUNDS // 5):
        to = stranger(wallet_core, "stellar")
        amount, sequence = source.getrandbits(50) + 1, source.getrandbits(62) + 1
        terms = stellar.Terms(
            "create_account" if kind == "create_account" else "payment",
            source.randint(100, 10**5),
            source.getrandbits(31),
        )
        ours_memo, theirs_memo = stellar_memo(memo)
        contract = USDC_STELLAR if kind == "token" else None
        payment = Payment(wallet.address, to, contract, amount, ours_memo)

        _, ours = wallet.pay(payment, msgspec.json.encode(terms), nonce=sequence)

        moved: dict[str, object] = {"destination": to, "amount": str(amount)}
        if contract is not None:
            code, _, issuer = contract.partition(":")
            moved["asset"] = {"issuer": issuer, "alphanum4": code}
        operation = "opCreateAccount" if kind == "create_account" else "opPayment"
        output = wallet_core.sign(
            "stellar",
            "Stellar",
            fee=terms.fee_minor,
            sequence=str(sequence),
            account=wallet.address,
            privateKey=text(wallet.private_key),
            passphrase="Public Global Stellar Network ; September 2015",
            timeBounds=str(terms.valid_until),
            **{operation: moved},
            **theirs_memo,
        )
        assert ours.raw == ENVELOPE_TYPE_TX + b64decode(output["signature"])


def stellar_memo(kind: str | None) -> tuple[str | None, dict[str, object]]:
    """Return a random memo in our words and in the oracle's."""
    number, data = source.getrandbits(63), source.randbytes(32)
    if kind is None:
        return None, {"memoVoid": {}}
    memos: dict[str, tuple[str, dict[str, object]]] = {
        "id": (f"id:{number}", {"memoId": {"id": str(number)}}),
        "text": (f"text:order {number % 10**9}", {"memoText": {"text": f"order {number % 10**9}"}}),
        "hash": (f"hash:{data.hex()}", {"memoHash": {"hash": text(data)}}),
        "return": (f"return:{data.hex()}", {"memoReturnHash": {"hash": text(data)}}),
    }
    return memos[kind]


@pytest.mark.parametrize("kind", ["native", "token", "token of a new holder"])
def test_solana(wallet_core: WalletCore, kind: str) -> None:
    """Solana leaves the order of accounts and of terms to the sender: the meaning is compared.

    Then the oracle is given our message and signs it: those bytes are the same.
    """
    wallet = open_wallet(wallet_core, "solana", USDC_SOLANA)
    signing = {"privateKey": text(wallet.private_key), "txEncoding": 1}
    for _ in range(ROUNDS):
        to, amount = stranger(wallet_core, "solana"), source.getrandbits(60) + 1
        held = associated_account(wallet.address, USDC_SOLANA, TOKEN_PROGRAM)
        moved = (solana.Source(held, amount),)
        plan = solana.Plan(
            blockhash=stranger(wallet_core, "solana"),
            last_height=1,
            unit_limit=source.randint(1, 10**6),
            unit_price=source.randint(1, 10**6),
            seed=source.randbytes(16),
            token=solana.TokenPlan(TOKEN_PROGRAM, 6, moved, makes_account=kind.endswith("holder")),
        )
        contract = None if kind == "native" else USDC_SOLANA
        payment = Payment(wallet.address, to, contract, amount)

        _, ours = wallet.pay(payment, msgspec.json.encode(plan))

        reference = solana.make_reference(payment, plan.seed, b"")
        output = wallet_core.sign(
            "solana",
            "Solana",
            recentBlockhash=plan.blockhash,
            priorityFeePrice={"price": str(plan.unit_price)},
            priorityFeeLimit={"limit": plan.unit_limit},
            **signing,
            **solana_move(kind, to, amount, held, str(Pubkey.from_bytes(reference))),
        )
        theirs = Transaction.from_bytes(b64decode(output["encoded"])).message
        message = Transaction.from_bytes(ours.raw).message
        assert message.recent_blockhash == theirs.recent_blockhash
        assert meaning(message) == meaning(theirs)
        signed = wallet_core.sign("solana", "Solana", rawMessage=raw_message(message), **signing)
        assert ours.raw == b64decode(signed["encoded"])


Meaning = list[tuple[str, list[tuple[str, bool, bool]], bytes]]


def meaning(message: Message) -> Meaning:
    """Return program, accounts (signs, is written to) and data of each instruction, sorted.

    Of the two instructions that make a token account, ours is content if it is there already: they
    differ in a byte and in an account that is not used any more.
    """
    header, keys = message.header, message.account_keys
    signers = header.num_required_signatures
    accounts = [
        (
            str(key),
            place < signers,
            place < signers - header.num_readonly_signed_accounts
            or signers <= place < len(keys) - header.num_readonly_unsigned_accounts,
        )
        for place, key in enumerate(keys)
    ]
    made: Meaning = [
        (
            str(keys[one.program_id_index]),
            [accounts[place] for place in one.accounts],
            bytes(one.data),
        )
        for one in message.instructions
    ]
    return sorted(
        (program, used[:6], b"") if program == ACCOUNT_PROGRAM else (program, used, data)
        for program, used, data in made
    )


def raw_message(message: Message) -> dict[str, object]:
    """Return our message in the oracle's words."""
    header = message.header
    return {
        "legacy": {
            "header": {
                "numRequiredSignatures": header.num_required_signatures,
                "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
                "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
            },
            "accountKeys": [str(key) for key in message.account_keys],
            "recentBlockhash": str(message.recent_blockhash),
            "instructions": [
                {
                    "programId": one.program_id_index,
                    "accounts": list(one.accounts),
                    "programData": text(bytes(one.data)),
                }
                for one in message.instructions
            ],
        }
    }


def solana_move(
    kind: str, to: str, amount: int, held: str, reference: str
) -> dict[str, dict[str, object]]:
    """Return the payment in the oracle's words."""
    moved: dict[str, object]
    if kind == "native":
        moved = {"recipient": to, "value": str(amount), "references": [reference]}
        return {"transferTransaction": moved}
    moved = {
        "tokenMintAddress": USDC_SOLANA,
        "senderTokenAddress": held,
        "recipientTokenAddress": associated_account(to, USDC_SOLANA, TOKEN_PROGRAM),
        "amount": str(amount),
        "decimals": 6,
        "references": [reference],
    }
    if kind == "token":
        return {"tokenTransferTransaction": moved}
    return {"createAndTransferTokenTransaction": {**moved, "recipientMainAddress": to}}


@pytest.mark.parametrize(
    ("kind", "comment", "deploy"),
    [("native", "order 7", False), ("native", "order 7", True), ("token", None, False)],
)
def test_ton(wallet_core: WalletCore, kind: str, comment: str | None, deploy: bool) -> None:
    """Cells are compared by their hash: how they are wrapped up (BoC) is the sender's choice.

    Left out is what the two write in different cells and mean alike: no comment, which the oracle
    keeps in an empty cell, and a comment of a jetton, which ours has in a cell of its own. The
    first payment of a wallet never expires as the oracle writes it; the rest of it is the same.
    """
    wallet = open_wallet(wallet_core, "ton")
    for _ in range(ROUNDS // 5):
        to, held = (f"0:{source.randbytes(32).hex()}" for _ in range(2))
        amount, seqno = source.getrandbits(60) + 1, 0 if deploy else source.getrandbits(31) + 1
        terms = ton.Terms(
            public_key=wallet.signer.public_key(wallet.key_path, wallet.adapter.key_scheme),
            number=WALLET_ID,
            time=1_700_000_000 + source.getrandbits(28),
            deploy=deploy,
            bounce=source.random() < 0.5,
            jetton_wallet=held if kind == "token" else None,
            fee_minor_max=0,
        )
        memo = None if comment is None else f"text:{comment}"
        contract = to if kind == "token" else None
        payment = Payment(wallet.address, to, contract, amount, memo)

        unsigned, ours = wallet.pay(payment, msgspec.json.encode(terms), nonce=seqno)

        expires = msgspec.json.decode(unsigned.body, type=ton.Body).expires
        message: dict[str, object] = {
            "dest": to,
            "amount": text(amount),
            "mode": 3,
            "comment": comment or "",
            "bounceable": terms.bounce,
        }
        if kind == "token":
            message |= {
                "dest": held,
                "amount": text(JETTON_ATTACHED_MINOR),
                "bounceable": True,
                "jettonTransfer": {
                    "queryId": str(mark(wallet.address, expires)),
                    "jettonAmount": text(amount),
                    "toOwner": to,
                    "responseAddress": wallet.address,
                    "forwardAmount": text(JETTON_FORWARD_MINOR),
                },
            }
        output = wallet_core.sign(
            "ton",
            "TheOpenNetwork",
            privateKey=text(wallet.private_key),
            messages=[message],
            sequenceNumber=seqno,
            expireAt=expires,
            walletVersion=2,
        )
        mine, theirs = Cell.one_from_boc(ours.raw), Cell.one_from_boc(output["encoded"])
        if not deploy:
            assert mine.hash == theirs.hash
            continue
        assert mine.bits == theirs.bits
        (my_init, my_order), (their_init, their_order) = mine.refs, theirs.refs
        assert my_init.hash == their_init.hash
        assert my_order.refs[0].hash == their_order.refs[0].hash
