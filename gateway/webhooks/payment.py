"""Notifications of payment channels, for order_rpc to judge: their fields, their headers, and the body as it came.

A channel repeats one until it gets HTTP 200 with `{"code": "SUCCESS"}`. A refusal that no repeat can change answers
4xx, one that may pass answers 503, both with `{"code": "FAIL", "reason": ...}`. The first channel posts to
`/webhooks/payment`, each other one to a path of its own, and need not post flat JSON there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import orjson

from brandmesh.payment.v1 import payment_pb2
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
CHANNEL_PATH = "/webhooks/payment/{channel}"
NOTIFICATION_BYTES_MAX = 8 << 10
"""For flat JSON."""

SIGNED_BODY_BYTES_MAX = 64 << 10
_BODY_SECONDS_MAX = 5.0

_FIELDS_MAX = 32
_FIELD_NAME_CHARACTERS_MAX = 64
_FIELD_CHARACTERS_MAX = 512
_HEADERS_MAX = 64
_HEADER_NAME_CHARACTERS_MAX = 64
_HEADER_CHARACTERS_MAX = 1024
"""What the contract takes. A channel's signature fits into it; what does not is none."""

_UNAVAILABLE = 503

log = telemetry.logger()


class PaymentWebhook:
    """Passes notifications on."""

    def __init__(self, payment_notify: Call, *, timeout_seconds: float) -> None:
        self._payment_notify = payment_notify
        self._timeout_seconds = timeout_seconds

    def endpoints(self) -> list[Endpoint]:
        return [endpoint("POST", PATH, self._handle_first), endpoint("POST", CHANNEL_PATH, self._handle_other)]

    async def _handle_first(self, request: Request, _: Sequence[str]) -> Answer:
        """Take flat JSON."""
        return await self._handle(request, "")

    async def _handle_other(self, request: Request, variables: Sequence[str]) -> Answer:
        """Take whatever the channel of the path signs."""
        return await self._handle(request, variables[0])

    async def _handle(self, request: Request, channel: str) -> Answer:
        """Answer the channel in its own form, whatever happens."""
        try:
            bytes_max = SIGNED_BODY_BYTES_MAX if channel else NOTIFICATION_BYTES_MAX
            body = await read_body(request, bytes_max=bytes_max, seconds_max=_BODY_SECONDS_MAX)
            message = payment_pb2.PaymentNotifyRequest(
                channel=channel, fields=_fields(channel, body), headers=_headers(request), body=body
            )
            await self._payment_notify(message, self._timeout_seconds)
        except ProblemError as error:
            return _fail(error.problem)
        except DomainError as error:
            return _fail(from_domain_error(error), may_pass=error.is_retryable)
        return Answer(orjson.dumps({"code": "SUCCESS"}))


def _fields(channel: str, body: bytes) -> dict[str, str]:
    """Read the fields of a body. Only the first channel has to have some. Raises JSON_MALFORMED."""
    if not channel:
        return flat_fields(body)
    fields: dict[str, str] = {}
    with suppress(ProblemError):
        fields = flat_fields(body)
    # A body that is flat by chance goes as it came.
    fits = len(fields) <= _FIELDS_MAX and all(
        len(name) <= _FIELD_NAME_CHARACTERS_MAX and len(value) <= _FIELD_CHARACTERS_MAX
        for name, value in fields.items()
    )
    return fields if fits else {}


def _headers(request: Request) -> dict[str, str]:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers.items()}
    fitting = [
        (name, value)
        for name, value in headers.items()
        if len(name) <= _HEADER_NAME_CHARACTERS_MAX and len(value) <= _HEADER_CHARACTERS_MAX
    ]
    return dict(fitting[:_HEADERS_MAX])


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
