"""The payment channel's notification: a flat JSON object, signed, for order_rpc to judge.

The channel repeats it until it gets HTTP 200 with `{"code": "SUCCESS"}`. A refusal that no repeat can change answers
4xx, one that may pass answers 503, both with `{"code": "FAIL", "reason": ...}`.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from brandmesh.smspackage.v1 import sms_package_pb2
from gateway.bodies import read_body
from gateway.calls import Call
from gateway.exchange import Answer, Endpoint, Request, endpoint
from gateway.problems import Problem, ProblemError, from_domain_error
from gateway.refusals import refuse
from gateway.transcoding.faults import FieldFault
from gateway.transcoding.json_decoding import refuse_duplicates
from mesh import telemetry
from mesh.errors import DomainError

PATH = "/webhooks/payment"
NOTIFICATION_BYTES_MAX = 8 << 10
_BODY_SECONDS_MAX = 5.0

_UNAVAILABLE = 503

log = telemetry.logger()


class PaymentWebhook:
    """Passes notifications on."""

    def __init__(self, payment_notify: Call, *, timeout_seconds: float) -> None:
        self._payment_notify = payment_notify
        self._timeout_seconds = timeout_seconds

    def endpoints(self) -> list[Endpoint]:
        return [endpoint("POST", PATH, self._handle)]

    async def _handle(self, request: Request, _: Sequence[str]) -> Answer:
        """Answer the channel in its own form, whatever happens."""
        try:
            body = await read_body(request, bytes_max=NOTIFICATION_BYTES_MAX, seconds_max=_BODY_SECONDS_MAX)
            message = sms_package_pb2.PaymentNotifyRequest(fields=flat_fields(body))
            await self._payment_notify(message, self._timeout_seconds)
        except ProblemError as error:
            return _fail(error.problem)
        except DomainError as error:
            return _fail(from_domain_error(error), may_pass=error.is_retryable)
        return Answer(orjson.dumps({"code": "SUCCESS"}))


def flat_fields(body: bytes) -> dict[str, str]:
    """Read a flat JSON object as text fields; a number is the text it is signed as. Raises JSON_MALFORMED."""
    try:
        fields = _parse_flat(body)
        refuse_duplicates(fields, body)
    except (ValueError, FieldFault):
        raise refuse("JSON_MALFORMED", "send a flat JSON object of strings and whole numbers") from None
    return {name: str(value) for name, value in fields.items()}


def _parse_flat(body: bytes) -> dict[str, str | int]:
    parsed = orjson.loads(body)
    if type(parsed) is not dict or not all(type(value) in {str, int} for value in parsed.values()):
        raise ValueError("not a flat object")
    return parsed


def _fail(problem: Problem, *, may_pass: bool = False) -> Answer:
    log.warning("payment notification refused", reason=problem.reason)
    status = _UNAVAILABLE if may_pass else problem.status
    return Answer(orjson.dumps({"code": "FAIL", "reason": problem.reason}), status)
