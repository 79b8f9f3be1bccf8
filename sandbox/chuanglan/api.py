"""The HTTP of ChuangLan V1: POST with JSON; the status is always 200 and the outcome stands in the body."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from sandbox.chuanglan.accounts import Account
from sandbox.chuanglan.call_faults import CallFaults
from sandbox.chuanglan.clock import long_seconds
from sandbox.chuanglan.codes import RefusalError
from sandbox.chuanglan.faults import Operation
from sandbox.chuanglan.parameters import Parameters
from sandbox.chuanglan.platform import Platform
from sandbox.clock import now_ms
from sandbox.json_http import JsonObject, json_response


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: the paths it answers at, what it does, and the shape of its refusals."""

    operation: Operation
    paths: tuple[str, ...]
    act: Callable[[Account, Parameters], Awaitable[JsonObject]]
    refuse: Callable[[RefusalError], JsonObject]


class ChuangLanApi:
    """Routes of ChuangLan V1."""

    def __init__(self, platform: Platform, faults: CallFaults) -> None:
        """Take what carries the calls out and what disturbs them."""
        self._platform = platform
        self._faults = faults
        self._calls: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """Return one POST route for each path."""
        platform = self._platform
        endpoints = (
            Endpoint("send", ("/msg/send/json", "/msg/v1/send/json"), platform.send, _refused),
            Endpoint("variable", ("/msg/variable/json",), platform.send_variable, _refused),
            Endpoint("balance", ("/msg/balance/json",), platform.balance, _refused),
            Endpoint("pull_report", ("/msg/pull/report",), platform.pull_receipts, _refused_pull),
            Endpoint("pull_mo", ("/msg/pull/mo",), platform.pull_uplinks, _refused_pull),
        )
        return [web.post(path, partial(self._handle, endpoint)) for endpoint in endpoints for path in endpoint.paths]

    def stats(self) -> JsonObject:
        """Return the calls by operation and the refusals by code."""
        return {"calls": dict(self._calls), "refusals": dict(self._refusals)}

    async def _handle(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._calls[endpoint.operation] += 1
        try:
            parameters = Parameters.decode(body)
            account = self._platform.accounts.authenticate(parameters)
        except RefusalError as refusal:
            return json_response(self._refuse(endpoint, refusal))
        carry_out = partial(self._carry_out, endpoint, account, parameters)
        return await self._faults.around(request, account.name, endpoint.operation, carry_out)

    async def _carry_out(self, endpoint: Endpoint, account: Account, parameters: Parameters, code: str) -> JsonObject:
        if code:
            return self._refuse(endpoint, RefusalError(code))
        try:
            return await endpoint.act(account, parameters)
        except RefusalError as refusal:
            return self._refuse(endpoint, refusal)

    def _refuse(self, endpoint: Endpoint, refusal: RefusalError) -> JsonObject:
        self._refusals[refusal.code] += 1
        return endpoint.refuse(refusal)


def _refused(refusal: RefusalError) -> JsonObject:
    return {"code": refusal.code, "msgId": "", "time": long_seconds(now_ms()), "errorMsg": refusal.text}


def _refused_pull(refusal: RefusalError) -> JsonObject:
    return {"ret": 1, "error": f"{refusal.code} {refusal.text}"}
