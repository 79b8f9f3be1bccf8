"""The way of one dispatch: claim -> pay -> submit -> record -> tell the cost center -> finish.

The row in sms_rpc is the truth at every step, so a step that fails is not repeated here for long: the lease runs out,
and the sweep puts the dispatch back on its queue, or makes its outcome unknown once it may have been submitted.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import TypeAlias, TypeVar, cast

from prometheus_client import Counter

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.sms.v1 import sms_pb2
from mesh import telemetry
from mesh.bus.id_messages import read_ids
from mesh.bus.port import Delivery
from mesh.errors import DomainError
from mesh.giving_way import GivingWay
from mesh.outage import is_outage
from mesh.retry import RetryPolicy
from mesh.timestamps import to_ms
from mesh.worker import Dead, Done, Outcome
from sms_rmq.clients import CostCenter, SmsDispatches
from sms_rmq.providers.accounts import MAINLAND_PREFIX, ProviderAccounts
from sms_rmq.providers.port import (
    Accepted,
    Recipient,
    Rejected,
    RetryLater,
    SmsMode,
    SmsType,
    Submission,
    Unknown,
)

_IDS_PER_CLAIM = 500
_RETRY = RetryPolicy(first_delay_seconds=2, delay_seconds_max=120)
_ATTEMPTS_MAX = 8
_PAUSE_SECONDS_MAX = 5

Result = TypeVar("Result")
Claim: TypeAlias = Callable[[Sequence[int]], Awaitable[list[sms_pb2.Dispatch]]]

_outcomes = Counter("sms_dispatch_outcomes_total", "Dispatches by what became of them", ["type", "outcome"])

log = telemetry.logger()


class DispatchHandler:
    """Works on dispatches that a queue names."""

    def __init__(
        self,
        dispatches: SmsDispatches,
        cost_center: CostCenter,
        accounts: ProviderAccounts,
        giving_way: GivingWay,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dispatches = dispatches
        self._cost_center = cost_center
        self._accounts = accounts
        self._giving_way = giving_way
        self._clock = clock
        self._in_progress: set[int] = set()

    async def handle_singles(self, _queue: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Work on a batch of messages that name dispatches of one recipient. Raises as `handle_batches`."""
        return await self._handle(deliveries, self._claim_singles)

    async def handle_batches(self, queue: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Work on messages that name dispatches of many recipients.

        Raises DomainError when not all of them could be claimed: they come again, and those that were are left to the
        lease of this call.
        """
        async with self._giving_way.bulk(queue):
            return await self._handle(deliveries, self._dispatches.claim)

    async def _handle(self, deliveries: Sequence[Delivery], claim: Claim) -> list[Outcome]:
        outcomes: list[Outcome] = []
        wanted: list[int] = []
        for delivery in deliveries:
            try:
                wanted += read_ids(delivery.body)
            except ValueError as error:
                outcomes.append(Dead(str(error)))
            else:
                outcomes.append(Done())
        # A duplicate of what this process works on at the moment would be claimed by no one, and need not be asked for.
        ids = [dispatch_id for dispatch_id in dict.fromkeys(wanted) if dispatch_id not in self._in_progress]
        self._in_progress.update(ids)
        try:
            for start in range(0, len(ids), _IDS_PER_CLAIM):
                await self._work(await claim(ids[start : start + _IDS_PER_CLAIM]))
        finally:
            self._in_progress.difference_update(ids)
        return outcomes

    async def _claim_singles(self, dispatch_ids: Sequence[int]) -> list[sms_pb2.Dispatch]:
        with self._giving_way.hurried():
            return await self._dispatches.claim_singles(dispatch_ids)

    async def _work(self, claimed: Sequence[sms_pb2.Dispatch]) -> None:
        """Work on dispatches side by side. What fails on one stays with that one, for the sweep."""
        results = await asyncio.gather(*map(self._work_one, claimed), return_exceptions=True)
        for dispatch, result in zip(claimed, results, strict=True):
            if isinstance(result, BaseException):
                _tell_left(dispatch, result)

    async def _work_one(self, dispatch: sms_pb2.Dispatch) -> None:
        if dispatch.stage == sms_pb2.DISPATCH_STAGE_SEND:
            is_single = dispatch.mode == sms_pb2.SMS_MODE_SINGLE
            with self._giving_way.hurried() if is_single else nullcontext():
                outcome = await self._send(dispatch)
            if outcome is None or outcome.outcome in _NOT_TOLD:
                return
            dispatch.outcome = outcome.outcome
        await self._tell_cost_center(dispatch)
        await self._dispatches.finish(dispatch.dispatch_id)

    async def _send(self, dispatch: sms_pb2.Dispatch) -> sms_pb2.DispatchSubmission | None:
        """Pay and submit; answer the recorded outcome, or None where another consumer has taken over."""
        refusal = self._reason_not_to_send(dispatch)
        is_to_pay = refusal is None or refusal.outcome == sms_pb2.DISPATCH_OUTCOME_REJECTED
        outcome = await self._pay(dispatch) if is_to_pay else refusal
        if outcome is not None:
            # Not worth patience: when the lease is over, whoever takes the dispatch up decides anew.
            await self._dispatches.record_submission(outcome)
        elif await self._patiently(lambda: self._dispatches.record_charge(dispatch)):
            recorded = refusal or _recorded(dispatch, await self._accounts.submit(_submission(dispatch)))
            await self._patiently(lambda: self._dispatches.record_submission(recorded))
            outcome = recorded
        else:
            return None
        _outcomes.labels(_type(dispatch), sms_pb2.DispatchOutcome.Name(outcome.outcome)).inc()
        return outcome

    def _reason_not_to_send(self, dispatch: sms_pb2.Dispatch) -> sms_pb2.DispatchSubmission | None:
        """Look, before anything is paid, whether the message is still of use and somebody carries it."""
        if self._clock() * 1000 > to_ms(dispatch.expire_time):
            return _give_up(dispatch, "EXPIRED")
        mainland = dispatch.recipients[0].phone.startswith(MAINLAND_PREFIX)
        account = self._accounts.choose(dispatch.brand_id, _type(dispatch), mainland=mainland)
        if account is None:
            return _give_up(dispatch, "NO_PROVIDER_ACCOUNT")
        if not account.circuit.permits():
            return _retry(dispatch, "PROVIDER_CIRCUIT_OPEN", "", account.circuit.retry_after_seconds)
        return None

    async def _pay(self, dispatch: sms_pb2.Dispatch) -> sms_pb2.DispatchSubmission | None:
        """Charge once; a dispatch that is tried again is paid already. Answer why it cannot be, if it cannot."""
        if dispatch.payment_id:
            return None
        request = costcenter_pb2.SmsSendPayRequest(
            brand_id=dispatch.brand_id,
            request_id=f"dispatch/{dispatch.dispatch_id}",
            freeze_id=dispatch.freeze_id,
            num=sum(recipient.segments for recipient in dispatch.recipients),
        )
        try:
            dispatch.payment_id = await self._cost_center.pay(request)
        except DomainError as error:
            if error.is_retryable:
                return _retry(dispatch, error.reason)
            return _outcome(dispatch, sms_pb2.DISPATCH_OUTCOME_UNPAID, error.reason)
        return None

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make a call of sms_rpc; while that restarts, again: nobody else knows what was submitted, or was not yet.

        Not for longer than a submission is held, for then the sweep has made its outcome unknown. Raises DomainError.
        """
        held_until = time.monotonic() + self._dispatches.submit_seconds
        attempt = 1
        while True:
            try:
                return await call()
            except DomainError as error:
                pause_seconds = min(attempt, _PAUSE_SECONDS_MAX)
                is_in_time = time.monotonic() + pause_seconds < held_until
                if not error.is_retryable or attempt == _ATTEMPTS_MAX or not is_in_time:
                    raise
            await asyncio.sleep(pause_seconds)
            attempt += 1

    async def _tell_cost_center(self, dispatch: sms_pb2.Dispatch) -> None:
        """Report the outcome. A refusal is final: somebody reported before, and that stands."""
        words = [self._cost_center.report(report) for report in _reports(dispatch)]
        if dispatch.outcome == sms_pb2.DISPATCH_OUTCOME_WITHDRAWN:
            words = [self._cost_center.release(_release(dispatch))]
        for answer in await asyncio.gather(*words, return_exceptions=True):
            if isinstance(answer, DomainError) and not answer.is_retryable:
                log.warning("the cost center refuses a report", dispatch_id=dispatch.dispatch_id, reason=answer.reason)
            elif answer is not None:
                raise answer


_NOT_TOLD = frozenset({sms_pb2.DISPATCH_OUTCOME_UNKNOWN, sms_pb2.DISPATCH_OUTCOME_RETRY})


def _type(dispatch: sms_pb2.Dispatch) -> SmsType:
    return cast("SmsType", sms_pb2.SmsType.Name(dispatch.type).removeprefix("SMS_TYPE_").lower())


def _submission(dispatch: sms_pb2.Dispatch) -> Submission:
    mode = sms_pb2.SmsMode.Name(dispatch.mode).removeprefix("SMS_MODE_").lower()
    return Submission(
        dispatch_id=dispatch.dispatch_id,
        brand_id=dispatch.brand_id,
        sms_type=_type(dispatch),
        mode=cast("SmsMode", mode),
        text=f"【{dispatch.signature}】{dispatch.content}",
        variable=dispatch.variable,
        recipients=[Recipient(recipient.phone, tuple(recipient.params)) for recipient in dispatch.recipients],
    )


def _outcome(
    dispatch: sms_pb2.Dispatch, outcome: sms_pb2.DispatchOutcome.ValueType, reason: str, provider_code: str = ""
) -> sms_pb2.DispatchSubmission:
    return sms_pb2.DispatchSubmission(
        dispatch_id=dispatch.dispatch_id, outcome=outcome, reason=reason, provider_code=provider_code
    )


def _retry(
    dispatch: sms_pb2.Dispatch, reason: str, provider_code: str = "", after_seconds: float = 0
) -> sms_pb2.DispatchSubmission:
    """Put back, for the longer of what was asked for and our own growing pause. Its age bounds how often."""
    outcome = _outcome(dispatch, sms_pb2.DISPATCH_OUTCOME_RETRY, reason, provider_code)
    outcome.retry_after_seconds = max(math.ceil(after_seconds), _RETRY.delay_seconds(dispatch.attempt + 1))
    return outcome


def _give_up(dispatch: sms_pb2.Dispatch, reason: str) -> sms_pb2.DispatchSubmission:
    """Fail a message that was not sent. Its credits are released, or refunded where they may be paid already.

    Who held it before may have paid it and died before that was noted. Paying again under the same request_id finds
    that payment; a release would find the freeze charged, or take what other chunks of the campaign are paid from.
    """
    may_be_paid = bool(dispatch.payment_id) or dispatch.attempt > 0
    outcome = sms_pb2.DISPATCH_OUTCOME_REJECTED if may_be_paid else sms_pb2.DISPATCH_OUTCOME_WITHDRAWN
    return _outcome(dispatch, outcome, reason)


def _recorded(
    dispatch: sms_pb2.Dispatch, answer: Accepted | Rejected | RetryLater | Unknown
) -> sms_pb2.DispatchSubmission:
    """Put a provider's answer in the contract's words."""
    match answer:
        case Accepted(provider_message_id):
            outcome = _outcome(dispatch, sms_pb2.DISPATCH_OUTCOME_SUBMITTED, "")
            outcome.provider_message_id = provider_message_id
        case Rejected(code, reason):
            outcome = _outcome(dispatch, sms_pb2.DISPATCH_OUTCOME_REJECTED, reason, code)
        case RetryLater(after_seconds, code, reason):
            outcome = _retry(dispatch, reason, code, after_seconds)
        case Unknown(reason, provider_message_id):
            outcome = _outcome(dispatch, sms_pb2.DISPATCH_OUTCOME_UNKNOWN, reason)
            outcome.provider_message_id = provider_message_id
    return outcome


def _release(dispatch: sms_pb2.Dispatch) -> costcenter_pb2.SmsReleaseFreezeNumRequest:
    return costcenter_pb2.SmsReleaseFreezeNumRequest(
        brand_id=dispatch.brand_id,
        request_id=f"withdraw/{dispatch.dispatch_id}",
        freeze_request_id=dispatch.freeze_request_id,
        num=sum(recipient.segments for recipient in dispatch.recipients),
    )


def _reports(dispatch: sms_pb2.Dispatch) -> list[costcenter_pb2.SmsSendStatusCallBackRequest]:
    """Say what the cost center has to hear: one word about the payment, or one about each message that was lost."""
    if dispatch.outcome == sms_pb2.DISPATCH_OUTCOME_LOST:
        return [
            costcenter_pb2.SmsSendStatusCallBackRequest(
                brand_id=dispatch.brand_id,
                request_id=f"lost/{recipient.message_id}",
                payment_id=dispatch.payment_id,
                status=costcenter_pb2.SMS_SEND_STATUS_FAILED,
                message_id=recipient.message_id,
                num=recipient.segments,
            )
            for recipient in dispatch.recipients
        ]
    statuses = {
        sms_pb2.DISPATCH_OUTCOME_SUBMITTED: costcenter_pb2.SMS_SEND_STATUS_SENT,
        sms_pb2.DISPATCH_OUTCOME_REJECTED: costcenter_pb2.SMS_SEND_STATUS_FAILED,
    }
    if dispatch.outcome not in statuses:
        return []
    return [
        costcenter_pb2.SmsSendStatusCallBackRequest(
            brand_id=dispatch.brand_id,
            request_id=f"dispatch/{dispatch.dispatch_id}",
            payment_id=dispatch.payment_id,
            status=statuses[dispatch.outcome],
        )
    ]


def _tell_left(dispatch: sms_pb2.Dispatch, error: BaseException) -> None:
    """Say that a dispatch failed half-way: an outage in one line, anything else with its trace."""
    if isinstance(error, Exception) and is_outage(error):
        log.warning("dispatch is left to the sweep", dispatch_id=dispatch.dispatch_id, error=str(error))
    else:
        log.error("dispatch is left to the sweep", dispatch_id=dispatch.dispatch_id, exc_info=error)
