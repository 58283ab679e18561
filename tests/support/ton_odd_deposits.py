"""Crafted transactions that pay, or seem to pay, an address of ours on TON, and how they are read.

The listing for people is docs/odd_deposits/ton.md.
"""

from __future__ import annotations

from pytoniq_core import begin_cell

from chain_adapters.ton.decode import Facts, Sent
from chain_adapters.ton.marks import mark
from tests.support.ton_odd_parts import (
    BOUNCED,
    BOUNCED_WHOLE,
    ENCRYPTED,
    EXCESSES,
    FAILED,
    NATIVE,
    NFT_ASSIGNED,
    NO_ACTION,
    NO_GAS,
    NOTHING,
    OLD_NO_STATE,
    OURS,
    OUT_BOUNCE,
    REFUSED_ORDER,
    SENT_JETTON,
    SENT_NATIVE,
    THEIRS,
    TRANSFER,
    Case,
    rooted,
)
from tests.support.ton_vectors import (
    INTERNAL,
    JETTON_WALLET,
    SENDER,
    STRANGER,
    UNDEPLOYED,
    body,
    bounce,
    comment,
    content,
    internal_transfer,
    jettons,
    message,
    notification,
    phases,
    raw_comment,
    transaction,
)

CASES = [
    Case("native", "the usual payment", transaction(message()), NATIVE),
    Case(
        "comment",
        "operation 0 and a text: the memo",
        transaction(message(comment("order 5"))),
        f"{NATIVE} text:order 5",
    ),
    Case(
        "long comment",
        "a comment of several cells is one text",
        transaction(message(comment("a" * 300))),
        f"{NATIVE} text:{'a' * 300}",
    ),
    Case(
        "comment too long",
        "above 512 bytes it is no memo; the money counts",
        transaction(message(comment("a" * 513))),
        NATIVE,
    ),
    Case(
        "comment not text",
        "bytes that are no UTF-8 are no memo",
        transaction(message(raw_comment(b"\xff\xfe"))),
        NATIVE,
    ),
    Case(
        "comment with NUL",
        "a text that no database keeps is no memo",
        transaction(message(raw_comment(b"5\0"))),
        NATIVE,
    ),
    Case(
        "comment of spaces",
        "nothing but spaces is no memo",
        transaction(message(raw_comment(b"   "))),
        NATIVE,
    ),
    Case(
        "encrypted comment",
        "only its recipient can read it, with a key: no memo",
        transaction(message(body((ENCRYPTED, 32), (5, 64)))),
        NATIVE,
    ),
    Case(
        "comment in words only",
        "the node's reading of a body that says something else",
        transaction(
            message(
                body((ENCRYPTED, 32)),
                message_content=(content(body((ENCRYPTED, 32))) or {})
                | {"decoded": {"@type": "text_comment", "comment": "1"}},
            )
        ),
        NATIVE,
    ),
    Case(
        "undeployed",
        "an account without contract keeps what comes",
        transaction(message(), UNDEPLOYED),
        NATIVE,
    ),
    Case(
        "undeployed, older index",
        "the same in the older shape of the answer",
        transaction(message(), OLD_NO_STATE),
        NATIVE,
    ),
    Case(
        "too little for gas",
        "the contract did not run, the money stays",
        transaction(message(value="1"), NO_GAS),
        "1 native (in)",
    ),
    Case(
        "bounced away",
        "a bounceable message to an undeployed account goes back",
        transaction(
            message(bounce=True), phases(UNDEPLOYED, bounce={"type": "ok"}), out=OUT_BOUNCE
        ),
        NOTHING,
    ),
    Case(
        "bounced away, unseen",
        "the same, and the answer hides the message back",
        transaction(message(bounce=True), phases(UNDEPLOYED, bounce={"type": "ok"})),
        NOTHING,
    ),
    Case(
        "too little to bounce",
        "a bounceable message without the money for the way back stays",
        transaction(
            message(bounce=True, value="1"), phases(UNDEPLOYED, bounce={"type": "nofunds"})
        ),
        "1 native (in)",
    ),
    Case(
        "refused by the contract",
        "the contract ran and failed, without bouncing: not credited",
        transaction(message(), FAILED),
        NOTHING,
    ),
    Case(
        "failed action",
        "the contract ran, its actions failed",
        transaction(message(), NO_ACTION),
        NOTHING,
    ),
    Case(
        "half a success",
        "aborted is false although the contract failed: nothing certain",
        transaction(message(), phases(FAILED, aborted=False)),
        NOTHING,
    ),
    Case(
        "no phases",
        "a transaction without compute phase",
        transaction(message(), phases(compute_ph=None)),
        NOTHING,
    ),
    Case(
        "bounced back",
        "money of somebody's own payment comes back: no deposit",
        transaction(bounce(body((BOUNCED, 32)))),
        NOTHING,
    ),
    Case("bounced, other words", "the flag counts", transaction(bounce(body((0, 32)))), NOTHING),
    Case(
        "bounced, said by the body only",
        "operation ffffffff without the flag",
        transaction(message(body((BOUNCED, 32), (0, 32)))),
        NOTHING,
    ),
    Case(
        "payment of ours returned",
        "the message that our wallet sent comes back: the payment is taken back",
        transaction(bounce(body((BOUNCED, 32)))),
        "returns the payment",
        rooted(SENT_NATIVE),
    ),
    Case(
        "another's payment returned",
        "a bounce in a trace that our wallet did not begin",
        transaction(bounce(body((BOUNCED, 32)))),
        NOTHING,
        rooted(SENT_NATIVE, account=SENDER),
    ),
    Case(
        "bounce of something else",
        "our wallet sent nothing to the account that this comes from",
        transaction(bounce(body((BOUNCED, 32)))),
        NOTHING,
        rooted({SENDER: Sent(1, jetton=False)}),
    ),
    Case(
        "forged bounce",
        "operation ffffffff in a trace of ours, but no bounced message",
        transaction(message(body((BOUNCED, 32)), source=STRANGER)),
        NOTHING,
        rooted(SENT_NATIVE),
    ),
    Case(
        "nothing",
        "a message that carries no money",
        transaction(message(value="0")),
        NOTHING,
    ),
    Case(
        "another's message",
        "the message is for another account than the transaction is of",
        transaction(message(destination=STRANGER)),
        NOTHING,
    ),
    Case(
        "external message",
        "an order from outside moves nothing in",
        transaction(message(source=None, value=None, bounce=None, bounced=None)),
        NOTHING,
    ),
    Case(
        "by the clock",
        "a transaction that no message caused",
        transaction(None, phases(type="tick_tock")),
        NOTHING,
    ),
    Case(
        "not there yet",
        "a transaction that the index only expects",
        transaction(message(), emulated=True),
        NOTHING,
    ),
    Case(
        "other currencies",
        "extra currencies are not TON: only TON is read",
        transaction(message(value="5", value_extra_currencies={"100": "7"})),
        "5 native (in)",
    ),
    Case(
        "NFT",
        "the notice of an NFT carries its own small change only",
        transaction(message(body((NFT_ASSIGNED, 32), (0, 64)), value="1")),
        "1 native (in)",
    ),
    Case(
        "jettons",
        "an internal transfer took effect at the wallet that the listed master gives to the owner",
        jettons(internal_transfer()),
        "300 jetton (jetton)",
    ),
    Case(
        "jettons with comment",
        "the comment in the forwarded payload is the memo",
        jettons(internal_transfer(300, comment("5"))),
        "300 jetton (jetton) text:5",
    ),
    Case(
        "jettons with comment inside",
        "the same without a cell of its own",
        jettons(internal_transfer(300, comment("5"), in_ref=False)),
        "300 jetton (jetton) text:5",
    ),
    Case(
        "jettons with odd payload",
        "what cannot be read is no memo; the jettons count",
        jettons(internal_transfer(300, begin_cell().store_uint(1, 3).end_cell())),
        "300 jetton (jetton)",
    ),
    Case("no jettons", "an amount of zero", jettons(internal_transfer(0)), NOTHING),
    Case(
        "jettons refused",
        "the jetton wallet ran and failed",
        jettons(internal_transfer(), FAILED),
        NOTHING,
    ),
    Case(
        "jettons cut short",
        "a body that ends before the amount",
        jettons(body((INTERNAL, 32), (0, 64))),
        NOTHING,
    ),
    Case(
        "jetton of another master",
        "the same code and symbol, but no wallet of a listed master",
        jettons(internal_transfer()),
        NOTHING,
        Facts({}, {}),
    ),
    Case(
        "notification only",
        "anyone can send a notification: it is a message with TON, nothing else",
        transaction(message(notification(), value="1")),
        "1 native (in)",
    ),
    Case(
        "internal transfer to a person",
        "jettons said to arrive at an account that is no jetton wallet",
        transaction(message(internal_transfer(), value="1")),
        "1 native (in)",
    ),
    Case(
        "change of ours",
        "what a jetton payment of ours did not use comes back: no deposit",
        transaction(message(body((EXCESSES, 32), (OURS, 64)))),
        NOTHING,
    ),
    Case(
        "change of others",
        "somebody lets the rest of a payment go to us: money like any other",
        transaction(message(body((EXCESSES, 32), (THEIRS, 64)))),
        NATIVE,
    ),
    Case(
        "sent along by us",
        "the native money of our own jetton payment, at our jetton wallet",
        transaction(message(body((TRANSFER, 32), (mark(SENDER, 5), 64)))),
        NOTHING,
    ),
    Case(
        "sent along by others",
        "the same of a payment that is not ours",
        transaction(message(body((TRANSFER, 32), (OURS, 64)))),
        NATIVE,
    ),
    Case(
        "jetton order returned",
        "our jetton wallet refused the order, all that was sent along comes back",
        transaction(bounce(body((BOUNCED, 32), (TRANSFER, 32), (OURS, 64)), source=JETTON_WALLET)),
        "returns the payment",
        rooted(SENT_JETTON),
    ),
    Case(
        "jetton order refused in silence",
        "our jetton wallet had too little to run, and to send anything back",
        REFUSED_ORDER,
        "returns the payment",
        rooted(SENT_JETTON),
    ),
    Case(
        "another's order refused",
        "the same of an order that our payment did not send",
        REFUSED_ORDER,
        NOTHING,
        rooted(SENT_NATIVE),
    ),
    Case(
        "jettons returned",
        "the recipient's jetton wallet refused; ours takes them back",
        transaction(
            bounce(body((BOUNCED, 32), (INTERNAL, 32)), destination=JETTON_WALLET),
            account=JETTON_WALLET,
        ),
        "returns the payment",
        rooted(SENT_JETTON),
    ),
    Case(
        "jettons returned, newer form",
        "the same of a jetton wallet that asks for its whole message back",
        transaction(bounce(BOUNCED_WHOLE, destination=JETTON_WALLET), account=JETTON_WALLET),
        "returns the payment",
        rooted(SENT_JETTON),
    ),
    Case(
        "another order returned, newer form",
        "what comes back is no internal transfer",
        transaction(
            bounce(
                begin_cell().store_uint(0xFFFFFFFE, 32).store_ref(body((TRANSFER, 32))).end_cell(),
                destination=JETTON_WALLET,
            ),
            account=JETTON_WALLET,
        ),
        NOTHING,
        rooted(SENT_JETTON),
    ),
    Case(
        "jettons not taken back",
        "the same, but our jetton wallet failed at it",
        transaction(
            bounce(body((BOUNCED, 32), (INTERNAL, 32)), destination=JETTON_WALLET),
            FAILED,
            account=JETTON_WALLET,
        ),
        NOTHING,
        rooted(SENT_JETTON),
    ),
]
