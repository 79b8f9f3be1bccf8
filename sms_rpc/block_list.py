"""Which recipients of sends have unsubscribed from the brand."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.database import Database
from mesh.slices import in_slices
from sms_rpc import storage
from sms_rpc.acceptance import PreparedSend
from sms_rpc.domain import BLOCKABLE_TYPES


async def blocked_phones(database: Database, sends: Sequence[PreparedSend]) -> list[frozenset[str]]:
    """Answer for each send those of its phones that must not get it.

    Many small sends are looked up in one transaction, which costs more than all that is read in it.
    """
    wanted = [send for send in sends if _may_be_blocked(send)]
    phones = ((send.request.brand_id, recipient.phone) for send in wanted for recipient in send.recipients)
    blocked: set[tuple[int, str]] = set()
    async for slice_ in in_slices(phones):
        async with database.read() as connection:
            blocked |= await storage.read_blocked(connection, slice_)
    return [_blocked(send, blocked) for send in sends]


def _may_be_blocked(send: PreparedSend) -> bool:
    return send.request.sms_type in BLOCKABLE_TYPES


def _blocked(send: PreparedSend, blocked: set[tuple[int, str]]) -> frozenset[str]:
    if not blocked or not _may_be_blocked(send):
        return frozenset()
    brand_id = send.request.brand_id
    return frozenset(recipient.phone for recipient in send.recipients if (brand_id, recipient.phone) in blocked)
