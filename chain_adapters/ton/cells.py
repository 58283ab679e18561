"""Reading bags of cells quickly: message bodies, comments, jetton transfers. Pure.

Source: TL-B boc.tlb (serialized_boc), TEP-74. Whatever is malformed raises ValueError.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

from chain_adapters.ton.constants import BOUNCED, BOUNCED_WHOLE, COMMENT

_MAGIC = b"\xb5\xee\x9c\x72"
_CELLS_MAX = 4096
MEMO_BYTES_MAX = 512
"""Longer comments are no memos."""


class Node(NamedTuple):
    """One cell: its bits as a number, how many they are, and the places of its references."""

    bits: int
    length: int
    refs: tuple[int, ...]


class Reader:
    """Reads a cell from its beginning. ValueError where it ends too early."""

    __slots__ = ("_bits", "_left")

    def __init__(self, node: Node) -> None:
        self._bits = node.bits
        self._left = node.length

    @property
    def left(self) -> int:
        """How many bits are left."""
        return self._left

    def uint(self, length: int) -> int:
        """Read an unsigned number of so many bits."""
        self._left -= length
        if self._left < 0:
            raise ValueError("the cell ends too early")
        return (self._bits >> self._left) & ((1 << length) - 1)

    def coins(self) -> int:
        """Read an amount (VarUInteger 16)."""
        return self.uint(8 * self.uint(4))

    def address(self) -> str | None:
        """Read an internal address without anycast, or none (addr_std, addr_none)."""
        tag = self.uint(2)
        if tag == 0b00:
            return None
        if tag != 0b10 or self.uint(1):
            raise ValueError("no plain internal address")
        workchain = self.uint(8)
        return f"{workchain - 256 if workchain > 127 else workchain}:{self.uint(256):064x}"


def read_cells(encoded: str) -> list[Node]:
    """Return the cells of a bag in base64, the root first (the only root there may be)."""
    boc, count, size, place = _open_bag(encoded)
    nodes: list[Node] = []
    for number in range(count):
        node, place = _read_node(boc, place, size)
        if node.refs and min(node.refs) <= number:
            raise ValueError("a cell refers back")  # to walk them would never end
        nodes.append(node)
    if not nodes:
        raise ValueError("an empty bag")
    return nodes


def _open_bag(encoded: str) -> tuple[bytes, int, int, int]:
    """Return a bag's bytes, how many cells it has, the bytes of a reference, the root's place."""
    boc = binascii.a2b_base64(encoded)
    if boc[:4] != _MAGIC or len(boc) < 12:
        raise ValueError("no bag of cells")
    flags, offset_size = boc[4], boc[5]
    size = flags & 7
    if not (1 <= size <= 4 and 1 <= offset_size <= 8):
        raise ValueError("no bag of cells")
    count = int.from_bytes(boc[6 : 6 + size])
    place = 6 + 3 * size + offset_size
    if boc[place : place + size] != bytes(size) or count > _CELLS_MAX:
        raise ValueError("a bag with another root, or too large")
    return boc, count, size, place + size + (count * offset_size if flags & 0x80 else 0)


def read_head(encoded: str, length: int) -> bytes | None:
    """Return the first so many bytes of a bag's root; None if it has less. The rest is not read.

    ValueError if there is no such bag, or it ends too early.
    """
    boc, count, _, place = _open_bag(encoded)
    if not count or place + 2 > len(boc) or boc[place] & 16:
        raise ValueError("the root cannot be read")
    head = boc[place + 2 : place + 2 + length]
    if boc[place + 1] < 2 * length:
        return None
    if len(head) < length:
        raise ValueError("the bag ends too early")
    return head


def _read_node(boc: bytes, place: int, size: int) -> tuple[Node, int]:
    if place + 2 > len(boc):
        raise ValueError("the bag ends too early")
    descriptor, halves = boc[place], boc[place + 1]
    if descriptor & 16:
        raise ValueError("cells with stored hashes are not read")
    refs_at = place + 2 + (halves + 1) // 2
    end = refs_at + (descriptor & 7) * size
    if end > len(boc) or descriptor & 7 > 4:
        raise ValueError("the bag ends too early")
    bits, length = int.from_bytes(boc[place + 2 : refs_at]), 4 * (halves + halves % 2)
    if halves % 2:  # the last byte is filled up with 1 and zeros
        fill = (bits & -bits).bit_length()
        if not 0 < fill <= 8:
            raise ValueError("a cell is not filled up")
        bits, length = bits >> fill, length - fill
    refs = tuple(int.from_bytes(boc[i : i + size]) for i in range(refs_at, end, size))
    return Node(bits, length, refs), end


def child(nodes: list[Node], node: Node, number: int) -> Node:
    """Return a referenced cell."""
    if number >= len(node.refs) or not 0 <= node.refs[number] < len(nodes):
        raise ValueError("a reference is missing")
    return nodes[node.refs[number]]


def read_memo(encoded: str) -> str | None:
    """Return the memo that a body in base64 says: a text comment; None if it says none."""
    try:
        nodes = read_cells(encoded)
        return memo_of(nodes, nodes[0], nodes[0].length)
    except ValueError:
        return None


def memo_of(nodes: list[Node], node: Node, left: int) -> str | None:
    """Return the memo in the last `left` bits of a cell and the chain of cells behind it.

    ValueError if that is no text in UTF-8; None if it is empty or no comment.
    """
    if left < 32 or (node.bits >> (left - 32)) & 0xFFFFFFFF != COMMENT:
        return None
    data = _tail(node, left - 32)
    while node.refs and len(data) <= MEMO_BYTES_MAX:
        node = child(nodes, node, 0)
        data += _tail(node, node.length)
    return memo_text(data)


def _tail(node: Node, left: int) -> bytes:
    if left % 8:
        raise ValueError("not whole bytes")
    return (node.bits & ((1 << left) - 1)).to_bytes(left // 8)


def memo_text(data: bytes) -> str | None:
    """Return the canonical memo of a comment's bytes."""
    text = data.decode().strip()
    if not text or len(data) > MEMO_BYTES_MAX or "\0" in text:
        return None
    return "text:" + text


def read_bounced_opcode(encoded: str) -> int | None:
    """Return the operation code of the message that a bounced one brings back; None if it has none.

    Both forms are read (TL-B block.tlb, NewBounceBody).
    """
    try:
        nodes = read_cells(encoded)
        root = Reader(nodes[0])
        form = root.uint(32)
        if form == BOUNCED:
            return root.uint(32)
        if form == BOUNCED_WHOLE:
            return Reader(child(nodes, nodes[0], 0)).uint(32)
    except ValueError:
        return None
    return None


class JettonArrival(NamedTuple):
    """What an internal transfer between jetton wallets says (TEP-74)."""

    amount_minor: int
    sender: str | None
    memo: str | None


def read_internal_transfer(encoded: str) -> JettonArrival:
    """Read the body of an internal transfer. Its comment is in the forwarded payload."""
    nodes = read_cells(encoded)
    root = Reader(nodes[0])
    root.uint(32 + 64)
    amount_minor, sender = root.coins(), root.address()
    return JettonArrival(amount_minor, sender, _forwarded_memo(nodes, root))


def _forwarded_memo(nodes: list[Node], root: Reader) -> str | None:
    """An unreadable payload is no memo: the money arrived all the same."""
    try:
        root.address()
        root.coins()
        if root.uint(1):
            payload = child(nodes, nodes[0], 0)
            return memo_of(nodes, payload, payload.length)
        return memo_of(nodes, nodes[0], root.left)
    except ValueError:
        return None


def read_opcode(encoded: str) -> int | None:
    """Return the operation code of a body, None if it is shorter or unreadable."""
    try:
        head = read_head(encoded, 4)
    except ValueError:
        return None
    return None if head is None else int.from_bytes(head)


def read_query_id(encoded: str) -> int | None:
    """Return the query id behind an operation code; None if the body is shorter."""
    head = read_head(encoded, 4 + 8)
    return None if head is None else int.from_bytes(head[4:])
