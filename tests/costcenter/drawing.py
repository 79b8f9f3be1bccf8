"""Draws operations that have to do with what happened before: ids that exist, ids of others, ids that come next."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypothesis import strategies as st

from costcenter_rpc.domain import (
    DAY_MS,
    ExpireFreeze,
    ExpireLots,
    Grant,
    Operation,
    Pay,
    PrePay,
    Release,
    ReportReceipt,
    ReportStatus,
    Request,
    SendStatus,
)
from costcenter_rpc.jobs import JobOperation
from tests.costcenter.harness import Clock
from tests.costcenter.model import ModelAccount

NOBODY = 404
HOUR_MS = DAY_MS // 24
LIFETIMES_MS = (30 * DAY_MS, 3 * DAY_MS, DAY_MS, HOUR_MS, HOUR_MS, 1, 0, -1)
RECENT = 4
"""Objects of a brand that are named again: few, so that things happen to them twice."""

nums = st.integers(1, 15)
nums_or_all = st.just(0) | st.integers(1, 10)
messages = st.integers(1, 2)


Draw = Callable[[st.DataObject], Operation]


class Drawing:
    def __init__(self, model: Mapping[int, ModelAccount], clock: Clock) -> None:
        self.model = model
        self.clock = clock
        self.requests: list[Request] = []
        self._request_count = 0

    def operation(self, data: st.DataObject) -> Operation:
        """Mostly what something exists for: a payment is reported once there is one."""
        kinds: list[Draw] = [self.prepay, self.prepay, self.grant, self.expiry]
        if any(account.holds for account in self.model.values()):
            kinds += [self.pay, self.pay, self.pay, self.release, self.repeat]
        if any(account.charges for account in self.model.values()):
            kinds += [self.status, self.receipt] * 4
        draw: Draw = data.draw(st.sampled_from(kinds))
        return draw(data)

    def grant(self, data: st.DataObject) -> Operation:
        expires_at_ms = self.clock.now_ms + data.draw(st.sampled_from(LIFETIMES_MS))
        num = 2 * data.draw(nums)
        return self._keep(Grant(self._brand(data), self._request_id(data), num, expires_at_ms, "package"))

    def prepay(self, data: st.DataObject) -> Operation:
        default = -self.clock.now_ms
        expires_at_ms = self.clock.now_ms + data.draw(st.sampled_from([default, default, *LIFETIMES_MS]))
        return self._keep(PrePay(self._brand(data), self._request_id(data), data.draw(nums), expires_at_ms))

    def pay(self, data: st.DataObject) -> Operation:
        brand_id = self._brand(data)
        freeze_id = self._freeze_id(data, brand_id)
        return self._keep(Pay(brand_id, self._request_id(data), freeze_id, data.draw(nums_or_all)))

    def release(self, data: st.DataObject) -> JobOperation:
        brand_id = self._brand(data)
        made = [one.request_id for one in self.requests if isinstance(one, PrePay) and one.brand_id == brand_id]
        to_come = f"r{self._request_count + 2}"
        freeze_request_id = data.draw(st.sampled_from([*made[-RECENT:] * 2, to_come]))
        release = Release(brand_id, self._request_id(data), freeze_request_id, data.draw(nums_or_all))
        self.requests.append(release)
        return release

    def status(self, data: st.DataObject) -> Operation:
        brand_id = self._brand(data)
        payment_id = self._payment_id(data, brand_id)
        of_one_message = st.tuples(messages, st.integers(0, 5))
        message_id, num = data.draw(of_one_message | of_one_message | st.just((0, 0)))
        status = data.draw(st.sampled_from([SendStatus.FAILED, SendStatus.FAILED, SendStatus.SENT]))
        return self._keep(ReportStatus(brand_id, self._request_id(data), payment_id, status, message_id, num))

    def receipt(self, data: st.DataObject) -> JobOperation:
        brand_id = self._brand(data)
        charged_num = data.draw(st.integers(1, 6))
        receipt = ReportReceipt(
            brand_id,
            self._request_id(data),
            self._payment_id(data, brand_id),
            data.draw(messages),
            data.draw(st.booleans()),
            charged_num,
            data.draw(st.just(charged_num) | st.integers(0, 9)),
        )
        self.requests.append(receipt)
        return receipt

    def repeat(self, data: st.DataObject) -> Operation:
        request: Request = data.draw(st.sampled_from(self.requests))
        return request

    def expiry(self, data: st.DataObject) -> Operation:
        brand_id = self._brand(data)
        if data.draw(st.booleans()):
            return ExpireLots(brand_id)
        return ExpireFreeze(brand_id, self._freeze_id(data, brand_id))

    def _keep(self, request: Request) -> Request:
        self.requests.append(request)
        return request

    def _request_id(self, data: st.DataObject) -> str:
        """A new id mostly; sometimes one that another request of any kind and brand has."""
        self._request_count += 1
        new = f"r{self._request_count}"
        used = [one.request_id for one in self.requests[-RECENT:]]
        return data.draw(st.sampled_from([new] * 10 + used[:1] + used[-1:]))

    def _brand(self, data: st.DataObject) -> int:
        brands = list(self.model)
        return data.draw(st.sampled_from([*brands * 12, NOBODY]))

    def _freeze_id(self, data: st.DataObject, brand_id: int) -> str:
        return self._object_id(data, brand_id, {id_: list(account.holds) for id_, account in self.model.items()})

    def _payment_id(self, data: st.DataObject, brand_id: int) -> str:
        return self._object_id(data, brand_id, {id_: list(account.charges) for id_, account in self.model.items()})

    def _object_id(self, data: st.DataObject, brand_id: int, ids: Mapping[int, list[str]]) -> str:
        """One of the brand's own mostly; sometimes one that comes to be in the same batch, or another brand's."""
        seq = self.model[brand_id].balance.seq if brand_id in self.model else 0
        to_come = f"{brand_id}-{seq + 1}"
        others = [object_id for object_ids in ids.values() for object_id in object_ids]
        return data.draw(st.sampled_from([*ids.get(brand_id, [])[-RECENT:] * 6, to_come, *others[-1:]]))
