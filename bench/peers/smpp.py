"""What an SMSC needs of SMPP 3.4: reading the requests of a gateway, writing answers and delivery receipts.

Field names and numbers are those of the specification (SMPP v3.4, issue 1.2, chapters 4 and 5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

_HEADER = struct.Struct(">IIII")
_PDU_BYTES_MAX = 64 * 1024
_RESPONSE = 0x8000_0000
_ESM_CLASS_RECEIPT = 0x04
_RECEIPT_WANTED = 0b11
"""The bits of registered_delivery that ask for a receipt of the final outcome."""


class Command(IntEnum):
    """Requests that are understood; the answer to each has the same number with the highest bit set."""

    BIND_RECEIVER = 0x01
    BIND_TRANSMITTER = 0x02
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    BIND_TRANSCEIVER = 0x09
    ENQUIRE_LINK = 0x15


BINDS = (Command.BIND_RECEIVER, Command.BIND_TRANSMITTER, Command.BIND_TRANSCEIVER)


class SmppError(Exception):
    """The peer sent what is not SMPP; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Pdu:
    """One unit of the protocol, without its length."""

    command: int
    sequence: int
    body: bytes = b""
    status: int = 0

    @property
    def is_response(self) -> bool:
        """Whether it answers one of ours."""
        return bool(self.command & _RESPONSE)


@dataclass(frozen=True, slots=True)
class Submission:
    """What of a submit_sm a receipt needs."""

    source: bytes
    destination: bytes
    wants_receipt: bool


def encode(pdu: Pdu) -> bytes:
    """Write a unit as it goes over the wire."""
    return _HEADER.pack(_HEADER.size + len(pdu.body), pdu.command, pdu.status, pdu.sequence) + pdu.body


def response(request: Pdu, body: bytes = b"") -> bytes:
    """Write the answer ESME_ROK to a request."""
    return encode(Pdu(request.command | _RESPONSE, request.sequence, body))


def take_pdus(received: bytearray) -> list[Pdu]:
    """Take all whole units off the front of what was received. Raises SmppError."""
    pdus = []
    start = 0
    while len(received) - start >= _HEADER.size:
        length, command, status, sequence = _HEADER.unpack_from(received, start)
        if not _HEADER.size <= length <= _PDU_BYTES_MAX:
            raise SmppError(f"a unit of {length} bytes")
        if len(received) - start < length:
            break
        pdus.append(Pdu(command, sequence, bytes(received[start + _HEADER.size : start + length]), status))
        start += length
    del received[:start]
    return pdus


def read_submission(body: bytes) -> Submission:
    """Read the mandatory fields of a submit_sm, in their order. Raises SmppError where they end early."""
    try:
        end_of_service_type = body.index(0)
        source_start = end_of_service_type + 3
        source_end = body.index(0, source_start)
        destination_start = source_end + 3
        destination_end = body.index(0, destination_start)
        schedule_start = destination_end + 4
        validity_start = body.index(0, schedule_start) + 1
        registered_delivery = body[body.index(0, validity_start) + 1]
    except (ValueError, IndexError):
        raise SmppError("a submit_sm that ends before its registered_delivery") from None
    return Submission(
        source=body[source_start:source_end],
        destination=body[destination_start:destination_end],
        wants_receipt=bool(registered_delivery & _RECEIPT_WANTED),
    )


def delivery_receipt(sequence: int, message_id: bytes, submission: Submission, now: datetime | None = None) -> bytes:
    """Write the deliver_sm that says DELIVRD, in the form of the specification's appendix B."""
    minute = (now or datetime.now(UTC)).strftime("%y%m%d%H%M").encode()
    text = b"id:%s sub:001 dlvrd:001 submit date:%s done date:%s stat:DELIVRD err:000 text:" % (
        message_id,
        minute,
        minute,
    )
    addresses = b"\1\1%s\0\1\1%s\0" % (submission.destination, submission.source)
    # No service type; protocol, priority, schedule, validity, registered delivery, replace, coding, stored text: none.
    body = b"\0%s%c\0\0\0\0\0\0\0\0%c%s" % (addresses, _ESM_CLASS_RECEIPT, len(text), text)
    return encode(Pdu(Command.DELIVER_SM, sequence, body))
