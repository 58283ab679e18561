"""Traces nested deeper than this Python's C stack allows a decoder to go.

The EVM nests calls up to 1024 deep (Yellow Paper, 9.1) and each frame is an object in a list.
CPython 3.12 bounds recursion in C below that, whatever the interpreter's own limit: without this
reader, one transaction made for the purpose would keep a block from being read.
"""

from __future__ import annotations

import re

import msgspec

from chain_adapters.ethereum.wire import TracesReply, WireFrame, WireTrace

_PIECE = re.compile(r'\s*([\[\]{},:]|"(?:[^"\\]|\\.)*"|[^\s\[\]{},:"]+)\s*')

Value = object


def read_nested_reply(raw: bytes) -> TracesReply:
    """Decode the answer with a block's traces without recursion, slowly.

    ValidationError or DecodeError if it is none.
    """
    reply = parse_iteratively(raw.decode())
    if not isinstance(reply, dict) or not isinstance(reply.get("id"), int):
        raise msgspec.ValidationError("the traces are not in an answer")
    traces = reply.get("result")
    if not isinstance(traces, list) or not all(isinstance(t, WireTrace) for t in traces):
        raise msgspec.ValidationError("the traces are not a list of traces")
    return TracesReply(reply["id"], traces)


def parse_iteratively(text: str) -> Value:
    """Parse JSON with an own stack; every object goes through `finish_object` as it closes."""
    open_values: list[dict[str, Value] | list[Value]] = []
    keys: list[str] = []
    holder: list[Value] = []  # receives the outermost value
    is_key = False
    position = 0
    while match := _PIECE.match(text, position):
        position, piece = match.end(), match[1]
        if piece in "{[":
            open_values.append({} if piece == "{" else [])
            is_key = piece == "{"
        elif piece in "}]":
            put(pop(open_values), open_values, keys, holder)
        elif piece == ",":
            is_key = bool(open_values) and isinstance(open_values[-1], dict)
        elif piece == ":":
            is_key = False
        elif is_key:
            keys.append(msgspec.json.decode(piece, type=str))
        else:
            put(msgspec.json.decode(piece), open_values, keys, holder)
    if position != len(text) or open_values or len(holder) != 1:
        raise msgspec.DecodeError("the traces are truncated or malformed")
    return holder[0]


def pop(open_values: list[dict[str, Value] | list[Value]]) -> Value:
    """Close the innermost value."""
    if not open_values:
        raise msgspec.DecodeError("the traces are malformed")
    closed = open_values.pop()
    return finish_object(closed) if isinstance(closed, dict) else closed


def put(
    value: Value,
    open_values: list[dict[str, Value] | list[Value]],
    keys: list[str],
    holder: list[Value],
) -> None:
    """Put a finished value where it belongs."""
    if not open_values:
        holder.append(value)
    elif isinstance(open_values[-1], list):
        open_values[-1].append(value)
    elif keys:
        open_values[-1][keys.pop()] = value
    else:
        raise msgspec.DecodeError("the traces are malformed")


def finish_object(found: dict[str, Value]) -> Value:
    """Return a frame or a trace for an object that is one; its inner calls are frames already."""
    if "type" in found and "from" in found:
        calls = found.pop("calls", [])
        if not isinstance(calls, list) or not all(isinstance(c, WireFrame) for c in calls):
            raise msgspec.ValidationError("the inner calls are not a list of frames")
        frame = msgspec.convert(found, WireFrame)
        frame.calls = calls
        return frame
    root = found.get("result")
    if isinstance(root, WireFrame) or ("error" in found and "id" not in found):
        trace = msgspec.convert({**found, "result": None}, WireTrace)
        trace.result = root if isinstance(root, WireFrame) else None
        return trace
    return found
