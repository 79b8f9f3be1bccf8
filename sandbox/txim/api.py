"""The HTTP of Tencent Cloud IM: POST with JSON; the status is always 200 and the outcome stands in the body."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from sandbox.json_http import BadRequestError, JsonObject, json_response, parse_json_object
from sandbox.txim.call_faults import CallFaults
from sandbox.txim.codes import Code, RefusalError
from sandbox.txim.imports import first_account
from sandbox.txim.platform import Platform
from sandbox.txim.usersig import Gatekeeper

# Only where there is one need be looked whether its other half is there.
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One command and what it does."""

    service: str
    command: str
    act: Callable[[JsonObject], JsonObject]


class TxImApi:
    """Routes of the REST API."""

    def __init__(self, platform: Platform, gatekeeper: Gatekeeper, faults: CallFaults) -> None:
        """Take who lets calls in, what carries them out, and what disturbs them."""
        self._platform = platform
        self._gatekeeper = gatekeeper
        self._faults = faults
        self._calls: Counter[str] = Counter()
        self._refusals: Counter[int] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """Return one POST route for each command, and one that refuses all others."""
        platform = self._platform
        endpoints = (
            Endpoint("openim", "sendmsg", platform.send),
            Endpoint("openim", "batchsendmsg", platform.send_batch),
            Endpoint("openim", "query_online_status", platform.query_online_status),
            Endpoint("im_open_login_svc", "account_import", platform.import_account),
            Endpoint("im_open_login_svc", "multiaccount_import", platform.import_accounts),
            Endpoint("im_open_login_svc", "account_check", platform.check_accounts),
        )
        known = [web.post(f"/v4/{each.service}/{each.command}", partial(self._handle, each)) for each in endpoints]
        return [*known, web.post("/v4/{service}/{command}", self._refuse_unknown)]

    def stats(self) -> JsonObject:
        """Return the calls by command and the refusals by code."""
        refusals = {str(code): count for code, count in self._refusals.items()}
        return {"calls": dict(self._calls), "refusals": refusals}

    async def _handle(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self._calls[endpoint.command] += 1
        try:
            self._gatekeeper.authenticate(request.query)
            self._platform.limits.admit_call(endpoint.command)
            body = _read_body(raw)
        except RefusalError as refusal:
            return json_response(self._refuse(refusal))
        carry_out = partial(self._carry_out, endpoint, body)
        return await self._faults.around(request, first_account(body), endpoint.command, carry_out)

    def _carry_out(self, endpoint: Endpoint, body: JsonObject, refusal: RefusalError | None) -> JsonObject:
        if refusal is not None:
            return self._refuse(refusal)
        try:
            answer = endpoint.act(body)
        except RefusalError as error:
            return self._refuse(error)
        return {"ActionStatus": "OK", "ErrorCode": int(Code.SUCCESS), "ErrorInfo": "", **answer}

    def _refuse(self, refusal: RefusalError) -> JsonObject:
        self._refusals[refusal.code] += 1
        return {"ActionStatus": "FAIL", "ErrorCode": refusal.code, "ErrorInfo": refusal.text, **refusal.fields}

    async def _refuse_unknown(self, _: web.Request) -> web.Response:
        return json_response(self._refuse(RefusalError(Code.NO_SUCH_COMMAND)))


def _read_body(raw: bytes) -> JsonObject:
    """Read the body, which is never empty and never has half a character; refused with 60003."""
    try:
        body = parse_json_object(raw)
        if _ESCAPED_SURROGATE.search(raw):
            json.dumps(body, ensure_ascii=False).encode()
    except (BadRequestError, UnicodeEncodeError) as error:
        raise RefusalError(Code.JSON, str(error)) from error
    return body
