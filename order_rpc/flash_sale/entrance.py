"""The way in: each sale's buyers are admitted together, and a sale that Redis does not know is read from its rows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import grpc

from mesh.errors import DomainError, invalid_field
from order_rpc.flash_sale.admission import Admission, Verdict
from order_rpc.flash_sale.domain import Refusal, Wanted
from order_rpc.flash_sale.loading import Loading
from order_rpc.plain_text import read_name, read_text

Admitted: TypeAlias = Verdict | Refusal | DomainError


class Entrance:
    """Decides who may have one of a sale's stock."""

    def __init__(self, admission: Admission, loading: Loading) -> None:
        self._admission = admission
        self._loading = loading

    async def admit_all(self, wanted: Sequence[Wanted]) -> Sequence[Admitted]:
        """Decide over up to 1,000 requests of any sales; one sale that cannot be decided does not keep the others."""
        by_sale: dict[tuple[int, int], list[int]] = defaultdict(list)
        answers: list[Admitted] = [Refusal.NOT_FOUND] * len(wanted)
        for position, one in enumerate(wanted):
            try:
                _check(one)
            except DomainError as refusal:
                answers[position] = refusal
            else:
                by_sale[one.brand_id, one.flash_sale_id].append(position)
        decided = await asyncio.gather(
            *(self._admit(*sale, [wanted[position] for position in positions]) for sale, positions in by_sale.items())
        )
        for positions, admitted in zip(by_sale.values(), decided, strict=True):
            for position, answer in zip(positions, admitted, strict=True):
                answers[position] = answer
        return answers

    async def _admit(self, brand_id: int, flash_sale_id: int, wanted: Sequence[Wanted]) -> Sequence[Admitted]:
        requests = [(one.user_id, one.request_id) for one in wanted]
        try:
            admitted = await self._admission.admit(brand_id, flash_sale_id, requests)
            if admitted is None:
                if not await self._loading.load(flash_sale_id):
                    return [Refusal.NOT_FOUND] * len(wanted)
                admitted = await self._admission.admit(brand_id, flash_sale_id, requests)
        except DomainError as error:
            return [error] * len(wanted)
        return [_lost_again()] * len(wanted) if admitted is None else admitted


def _check(wanted: Wanted) -> None:
    if not wanted.user_id:
        # In an order it says that the brand sells.
        raise invalid_field("user_id", "must be the id of a user, above 0")
    read_text(wanted.address, "address")
    read_name(wanted.consignee, "consignee")


def _lost_again() -> DomainError:
    message = "Redis lost the flash sale as soon as it was told of it; repeat with the same request_id"
    return DomainError(grpc.StatusCode.UNAVAILABLE, "ADMISSION_UNAVAILABLE", message, retry_after_seconds=1)
