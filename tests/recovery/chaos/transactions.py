"""What the broker says of transactions: DescribeTransactions, asked over a socket, since no Python client has it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from brokers.process import HOST

_API_KEY: Final = 65
_API_VERSION: Final = 0
_CORRELATION: Final = 7
_TIMEOUT_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transactional id, as its coordinator describes it."""

    transactional_id: str
    state: str
    started_ms: int
    producer_id: int
    producer_epoch: int
    partitions: tuple[tuple[str, int], ...]

    @property
    def is_open(self) -> bool:
        """Whether records were sent in it, and neither commit nor abort was asked for."""
        return self.state == "Ongoing"


def describe_transactions(port: int, transactional_ids: Iterable[str]) -> dict[str, Transaction]:
    """Ask the broker; ids that it does not know are left out.

    Raises
    ------
    OSError
        Where the broker does not answer.
    """
    body = _request(list(transactional_ids))
    with socket.create_connection((HOST, port), timeout=_TIMEOUT_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _receive(connection, 4))
        answer = _Answer(_receive(connection, size))
    return {each.transactional_id: each for each in answer.transactions()}


def _request(transactional_ids: list[str]) -> bytes:
    client = b"chaos"
    header = struct.pack(">hhih", _API_KEY, _API_VERSION, _CORRELATION, len(client)) + client + b"\x00"
    names = b"".join(_unsigned(len(name.encode()) + 1) + name.encode() for name in transactional_ids)
    return header + _unsigned(len(transactional_ids) + 1) + names + b"\x00"


def _unsigned(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            msg = f"the broker closed the connection after {len(data)} of {size} bytes"
            raise ConnectionError(msg)
        data += part
    return data


class _Answer:
    """Reads a DescribeTransactions response, version 0: compact strings and arrays, tagged fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def transactions(self) -> list[Transaction]:
        self._number(">i")  # correlation id
        self._tags()
        self._number(">i")  # throttle time
        found = [self._transaction() for _ in range(self._length())]
        return [each for each in found if each is not None]

    def _transaction(self) -> Transaction | None:
        error = self._number(">h")
        name, state = self._text(), self._text()
        self._number(">i")  # timeout
        started, producer_id, epoch = self._number(">q"), self._number(">q"), self._number(">h")
        partitions = [
            (topic, partition)
            for _ in range(self._length())
            for topic, numbers in [self._topic()]
            for partition in numbers
        ]
        self._tags()
        if error:
            return None
        return Transaction(
            transactional_id=name,
            state=state,
            started_ms=started,
            producer_id=producer_id,
            producer_epoch=epoch,
            partitions=tuple(partitions),
        )

    def _topic(self) -> tuple[str, list[int]]:
        topic = self._text()
        numbers = [self._number(">i") for _ in range(self._length())]
        self._tags()
        return topic, numbers

    def _number(self, kind: str) -> int:
        (value,) = struct.unpack_from(kind, self._data, self._at)
        self._at += struct.calcsize(kind)
        return int(value)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _length(self) -> int:
        return max(0, self._varint() - 1)

    def _text(self) -> str:
        size = self._length()
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def _tags(self) -> None:
        for _ in range(self._varint()):
            self._varint()
            self._at += self._varint()
