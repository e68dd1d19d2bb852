"""Reads the network out of an ONNX file: its nodes and its constants, no more.

ONNX is a protocol buffer: a message is a sequence of fields, each a tag (number and
wire type) and a value. The numbers below are those of ``onnx.proto``.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxanon.errors import DetectorError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DTYPES = {1: np.dtype("<f4"), 7: np.dtype("<i8")}


class Node(NamedTuple):
    """One operation."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    """Floats and lists of integers, by name."""


class Graph(NamedTuple):
    """A network, nodes in order of execution."""

    nodes: tuple[Node, ...]
    tensors: dict[str, np.ndarray]


def read(data: bytes) -> Graph:
    """Reads an ONNX file.

    Raises:
        DetectorError: the file is damaged or holds what this reader does not know.
    """
    try:
        model = _group(memoryview(data))
        graph = _group(model[7][0])
        tensors = dict(_read_tensor(_group(part)) for part in graph.get(5, ()))
        nodes = tuple(_read_node(_group(part)) for part in graph[1])
    except (KeyError, IndexError, ValueError, TypeError, struct.error) as error:
        raise DetectorError(f"Not a readable ONNX file: {error!r}.") from error
    return Graph(nodes, tensors)


def _group(message: memoryview) -> dict[int, list[Any]]:
    """Collects the values of each field of a message."""
    fields: dict[int, list[Any]] = {}
    for number, value in _fields(message):
        fields.setdefault(number, []).append(value)
    return fields


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            kind = "<f" if wire == _FIXED32 else "<d"
            (value,) = struct.unpack_from(kind, message, at)
            at += struct.calcsize(kind)
        elif wire == _BYTES:
            size, at = _read_varint(message, at)
            value, at = message[at : at + size], at + size
            if at > len(message):
                raise ValueError("it is cut off")
        else:
            raise ValueError(f"wire type {wire}")
        yield number, value


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """Reads seven bits a byte, lowest first; the eighth says that more follow."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _read_integers(values: list[Any]) -> list[int]:
    """Reads a repeated integer, which may be packed into bytes."""
    result = []
    for value in values:
        if isinstance(value, int):
            result.append(value)
            continue
        at = 0
        while at < len(value):
            integer, at = _read_varint(value, at)
            result.append(integer)
    return result


def _read_tensor(fields: dict[int, list[Any]]) -> tuple[str, np.ndarray]:
    shape = _read_integers(fields.get(1, []))
    dtype = _DTYPES[fields[2][0]]
    return _text(fields[8]), np.frombuffer(fields[9][0], dtype).reshape(shape)


def _read_node(fields: dict[int, list[Any]]) -> Node:
    attributes = {}
    for part in fields.get(5, ()):
        attribute = _group(part)
        floats, integers = attribute.get(2), attribute.get(8) or attribute.get(3, [])
        value = floats[0] if floats else _read_integers(integers)
        attributes[_text(attribute[1])] = value
    names = [tuple(map(_decode, fields.get(number, ()))) for number in (1, 2)]
    return Node(_text(fields[4]), names[0], names[1], attributes)


def _text(values: list[Any]) -> str:
    return _decode(values[0])


def _decode(value: memoryview) -> str:
    return bytes(value).decode()
