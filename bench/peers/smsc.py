"""`python -m bench.peers.smsc PORT`: an SMSC that takes every message and delivers it soon after.

It stands behind a gateway under measurement as the sandbox's ChuangLan stands behind brandmesh: a process of its own
that answers each submit_sm, then sends a receipt where one was asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys

from bench.peers.smpp import (
    BINDS,
    Command,
    Pdu,
    SmppError,
    delivery_receipt,
    read_submission,
    response,
    take_pdus,
)
from mesh.loopback import LOOPBACK

RECEIPT_SECONDS = 0.5
"""From the answer to the receipt. Jasmin looks a receipt up when it comes, and where it has not yet noted the answer
to which it belongs, again after ten seconds: an SMSC that is faster than phones would measure that pause."""

_SYSTEM_ID = b"smsc\0"


class SmscConnection(asyncio.Protocol):
    """One bound gateway."""

    def __init__(self, message_ids: itertools.count[int]) -> None:
        self._message_ids = message_ids
        self._sequences = itertools.count(1)
        self._received = bytearray()
        self._receipts: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what TCP servers make
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer everything that came together by one write, and send its receipts by another."""
        assert self._transport is not None  # noqa: S101  # data comes after the connection
        self._received += data
        try:
            answers = [self._answer(pdu) for pdu in take_pdus(self._received)]
        except SmppError as error:
            sys.stderr.write(f"connection ended: {error}\n")
            self._transport.abort()
            return
        self._transport.write(b"".join(answers))
        if self._receipts:
            receipts, self._receipts = b"".join(self._receipts), []
            asyncio.get_running_loop().call_later(RECEIPT_SECONDS, self._transport.write, receipts)

    def _answer(self, pdu: Pdu) -> bytes:
        match pdu.command:
            case Command.SUBMIT_SM:
                return self._submit(pdu)
            case command if command in BINDS:
                return response(pdu, _SYSTEM_ID)
            case Command.ENQUIRE_LINK | Command.UNBIND:
                return response(pdu)
            case _ if pdu.is_response:
                return b""
            case _:
                raise SmppError(f"an unknown command {pdu.command:#x}")

    def _submit(self, pdu: Pdu) -> bytes:
        submission = read_submission(pdu.body)
        message_id = b"%d" % next(self._message_ids)
        if submission.wants_receipt:
            self._receipts.append(delivery_receipt(next(self._sequences), message_id, submission))
        return response(pdu, message_id + b"\0")


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    message_ids = itertools.count(1)
    server = await loop.create_server(lambda: SmscConnection(message_ids), LOOPBACK, port)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
