from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench.peers.servers import running_smsc
from bench.peers.smpp import (
    Command,
    Pdu,
    SmppError,
    Submission,
    delivery_receipt,
    encode,
    read_submission,
    response,
    take_pdus,
)
from mesh.loopback import LOOPBACK

SUBMISSION = Submission(source=b"10690", destination=b"8613900000001", wants_receipt=True)


def submit_sm(registered_delivery: int = 1, service_type: bytes = b"", validity: bytes = b"") -> bytes:
    """The mandatory fields of a submit_sm, in the order of the specification's 4.4.1."""
    addresses = b"\2\1" + SUBMISSION.source + b"\0\1\1" + SUBMISSION.destination + b"\0"
    times = b"\0" + validity + b"\0"
    return service_type + b"\0" + addresses + b"\0\0\0" + times + bytes([registered_delivery, 0, 0, 0, 4]) + b"text"


def test_a_unit_is_read_as_it_was_written() -> None:
    pdu = Pdu(Command.SUBMIT_SM, sequence=7, body=b"body", status=3)
    assert take_pdus(bytearray(encode(pdu))) == [pdu]


def test_units_come_together_and_in_pieces() -> None:
    first, second = Pdu(Command.ENQUIRE_LINK, 1), Pdu(Command.SUBMIT_SM, 2, b"x" * 40)
    received = bytearray(encode(first) + encode(second)[:20])
    assert take_pdus(received) == [first]
    assert take_pdus(received) == []
    received += encode(second)[20:]
    assert take_pdus(received) == [second]
    assert not received


@pytest.mark.parametrize("length", [0, 15, 1 << 20])
def test_a_length_that_cannot_be_ends_the_connection(length: int) -> None:
    with pytest.raises(SmppError, match=f"a unit of {length} bytes"):
        take_pdus(bytearray(struct.pack(">IIII", length, Command.SUBMIT_SM, 0, 1)))


def test_an_answer_has_the_number_of_its_request() -> None:
    (answer,) = take_pdus(bytearray(response(Pdu(Command.SUBMIT_SM, 9), b"42\0")))
    assert answer == Pdu(0x8000_0004, 9, b"42\0")
    assert answer.is_response


def test_addresses_are_found_behind_fields_of_any_length() -> None:
    assert read_submission(submit_sm(service_type=b"CMT", validity=b"261122000000000+")) == SUBMISSION


@pytest.mark.parametrize(("registered_delivery", "wants"), [(0, False), (1, True), (2, True), (0x10, False)])
def test_only_the_two_lowest_bits_ask_for_a_final_receipt(registered_delivery: int, wants: bool) -> None:
    assert read_submission(submit_sm(registered_delivery)).wants_receipt is wants


@pytest.mark.parametrize("length", [0, 1, 10, 25, 30])
def test_a_submission_that_ends_early_is_refused(length: int) -> None:
    with pytest.raises(SmppError, match="ends before"):
        read_submission(submit_sm()[:length])


def test_a_receipt_goes_back_the_way_the_message_came() -> None:
    at = datetime(2026, 11, 22, 3, 4, tzinfo=UTC)
    (pdu,) = take_pdus(bytearray(delivery_receipt(5, b"42", SUBMISSION, at)))
    assert (pdu.command, pdu.sequence) == (Command.DELIVER_SM, 5)
    # A deliver_sm has the fields of a submit_sm; what the receipt is from is what the message went to.
    read = read_submission(pdu.body)
    assert (read.source, read.destination, read.wants_receipt) == (SUBMISSION.destination, SUBMISSION.source, False)
    assert pdu.body.endswith(
        b"id:42 sub:001 dlvrd:001 submit date:2611220304 done date:2611220304 stat:DELIVRD err:000 text:"
    )
    length_at = pdu.body.index(b"id:42") - 1
    assert pdu.body[length_at] == len(pdu.body) - length_at - 1


async def test_the_smsc_answers_a_submission_and_then_sends_its_receipt() -> None:
    pdus = await exchange([Pdu(Command.BIND_TRANSCEIVER, 1), Pdu(Command.SUBMIT_SM, 2, submit_sm())], 3)
    bound, submitted, receipt = pdus
    assert (bound.command, bound.sequence, bound.status) == (0x8000_0009, 1, 0)
    assert (submitted.command, submitted.sequence) == (0x8000_0004, 2)
    message_id = re.search(rb"id:(\d+) .*stat:DELIVRD", receipt.body)
    assert message_id is not None
    assert message_id[1] + b"\0" == submitted.body


async def test_the_smsc_sends_no_receipt_that_nobody_asked_for() -> None:
    wanted, unwanted = submit_sm(), submit_sm(registered_delivery=0)
    pdus = await exchange([Pdu(Command.SUBMIT_SM, 1, unwanted), Pdu(Command.SUBMIT_SM, 2, wanted)], 3)
    assert [pdu.command for pdu in pdus] == [0x8000_0004, 0x8000_0004, Command.DELIVER_SM]
    assert pdus[2].body.count(b"id:" + pdus[1].body[:-1] + b" ") == 1


async def test_the_smsc_ends_a_connection_that_speaks_something_else() -> None:
    async with bound_to_smsc() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: smsc\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def exchange(requests: list[Pdu], count: int) -> list[Pdu]:
    """Send requests to an SMSC and read so many units."""
    received, pdus = bytearray(), list[Pdu]()
    async with bound_to_smsc() as (reader, writer), asyncio.timeout(10):
        writer.write(b"".join(map(encode, requests)))
        while len(pdus) < count:
            received += await reader.read(4096)
            pdus += take_pdus(received)
    return pdus


@asynccontextmanager
async def bound_to_smsc() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Run an SMSC as the benchmark does, and connect to it."""
    with TemporaryDirectory() as home:
        async with running_smsc(Path(home)) as port:
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                yield reader, writer
            finally:
                writer.close()
                await writer.wait_closed()
