"""A real server, called over a real channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
import pytest_asyncio
import structlog
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import REGISTRY

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from brandmesh.costcenter.v1.costcenter_pb2_grpc import (
    CostCenterServiceServicer,
    CostCenterServiceStub,
    add_CostCenterServiceServicer_to_server,
)
from mesh import telemetry
from mesh.channel import Peer
from mesh.errors import DomainError
from mesh.loopback import LOOPBACK, free_port
from mesh.server import Server
from mesh.settings import RpcSettings

SERVICE = "brandmesh.costcenter.v1.CostCenterService"
METHOD = f"/{SERVICE}/GetSmsAccount"
REQUEST = pb.GetSmsAccountRequest(brand_id=7)
ANSWER = pb.GetSmsAccountResponse(brand_id=7, available=5)


class Scripted(CostCenterServiceServicer):
    """Serves one rpc by what the test says."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()
        self.behave: Callable[[], Awaitable[pb.GetSmsAccountResponse]] = self.answer
        self.answered = 0

    async def GetSmsAccount(  # noqa: N802  # the contract's name
        self, request: pb.GetSmsAccountRequest, context: object
    ) -> pb.GetSmsAccountResponse:
        assert request.brand_id
        assert context
        return await self.behave()

    async def answer(self) -> pb.GetSmsAccountResponse:
        self.answered += 1
        return ANSWER

    async def hold(self) -> pb.GetSmsAccountResponse:
        """Answer when `leave` is set; note being cancelled."""
        self.entered.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return ANSWER


@pytest_asyncio.fixture
async def servicer() -> Scripted:
    return Scripted()  # type: ignore[abstract]  # the rpcs that no test calls answer UNIMPLEMENTED


@asynccontextmanager
async def served(servicer: Scripted, request_timeout_seconds: float = 30) -> AsyncIterator[Server]:
    settings = RpcSettings(
        listen="127.0.0.1:0",
        database_url="sqlite:///unused",
        request_timeout_seconds=request_timeout_seconds,
        drain_seconds=5,
    )
    server = Server(settings)
    server.add(add_CostCenterServiceServicer_to_server, servicer, pb.DESCRIPTOR.services_by_name["CostCenterService"])
    await server.start()
    yield server
    await server.drain()


@pytest_asyncio.fixture
async def server(servicer: Scripted) -> AsyncIterator[Server]:
    async with served(servicer) as running:
        yield running


@pytest_asyncio.fixture
async def peer(server: Server) -> AsyncIterator[Peer]:
    made = Peer("costcenter", server.address)
    yield made
    await made.close()


async def get(peer: Peer, request: pb.GetSmsAccountRequest = REQUEST) -> pb.GetSmsAccountResponse:
    return await peer.call(CostCenterServiceStub(peer.channel).GetSmsAccount, request)


def handled(code: str) -> float:
    return REGISTRY.get_sample_value("grpc_server_handled_total", {"method": METHOD, "code": code}) or 0


async def test_answers_and_counts(peer: Peer) -> None:
    before = handled("OK")
    assert await get(peer) == ANSWER
    assert handled("OK") == before + 1
    assert REGISTRY.get_sample_value("grpc_server_handling_seconds_count", {"method": METHOD})


async def test_a_refusal_reaches_the_caller_whole(peer: Peer, servicer: Scripted) -> None:
    refusal = DomainError(
        grpc.StatusCode.FAILED_PRECONDITION, "NO_CREDIT", "买 a package", {"available": "3"}, retry_after_seconds=1.5
    )

    async def refuse() -> pb.GetSmsAccountResponse:
        raise refusal

    servicer.behave = refuse
    before = handled("FAILED_PRECONDITION")
    with pytest.raises(DomainError) as caught:
        await get(peer)
    seen = caught.value
    assert (seen.code, seen.reason, seen.message) == (refusal.code, refusal.reason, refusal.message)
    assert (seen.metadata, seen.retry_after_seconds) == ({"available": "3"}, 1.5)
    assert handled("FAILED_PRECONDITION") == before + 1


async def test_a_defect_is_logged_here_and_told_without_its_insides(peer: Peer, servicer: Scripted) -> None:
    async def fail() -> pb.GetSmsAccountResponse:
        raise KeyError("password=hunter2")

    servicer.behave = fail
    before = handled("INTERNAL")
    with structlog.testing.capture_logs() as logs, pytest.raises(DomainError) as caught:
        await get(peer)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in repr(caught.value.__cause__)
    assert [(line["event"], line["exc_info"]) for line in logs] == [("call failed", True)]
    assert handled("INTERNAL") == before + 1


async def test_a_request_that_breaks_its_contract_never_reaches_the_service(peer: Peer, servicer: Scripted) -> None:
    servicer.behave = servicer.hold
    with pytest.raises(DomainError) as caught:
        await get(peer, pb.GetSmsAccountRequest(brand_id=0))
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert [violation.field for violation in caught.value.violations] == ["brand_id"]
    assert not servicer.entered.is_set()


async def test_every_wrong_field_is_named(peer: Peer) -> None:
    stub = CostCenterServiceStub(peer.channel)
    request = pb.GrantSmsPackageRequest(brand_id=-1, request_id="a b", num=0, reference="x" * 129)
    with pytest.raises(DomainError) as caught:
        await peer.call(stub.GrantSmsPackage, request)
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["brand_id", "request_id", "num", "expire_time", "reference"]


async def test_the_callers_deadline_ends_the_work(peer: Peer, servicer: Scripted) -> None:
    servicer.behave = servicer.hold
    with pytest.raises(DomainError) as caught:
        await peer.call(CostCenterServiceStub(peer.channel).GetSmsAccount, REQUEST, timeout_seconds=0.2)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


async def test_a_caller_without_a_deadline_gets_the_servers(servicer: Scripted) -> None:
    servicer.behave = servicer.hold
    async with served(servicer, request_timeout_seconds=0.2) as server:
        peer = Peer("costcenter", server.address)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CostCenterServiceStub(peer.channel).GetSmsAccount(REQUEST)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "repeat with the same request_id" in (caught.value.details() or "")
        assert servicer.cancelled.is_set()
        await peer.close()


async def test_a_caller_that_goes_away_ends_the_work(peer: Peer, servicer: Scripted) -> None:
    servicer.behave = servicer.hold
    before = handled("CANCELLED")
    call = asyncio.create_task(get(peer))
    await asyncio.wait_for(servicer.entered.wait(), 5)
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 5)
    await asyncio.wait([call])
    assert handled("CANCELLED") == before + 1


async def test_the_callers_trace_goes_on(peer: Peer, servicer: Scripted) -> None:
    inside = dict[str, str]()

    async def note() -> pb.GetSmsAccountResponse:
        inside.update(telemetry.inject_headers())
        return ANSWER

    servicer.behave = note
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    with telemetry.from_headers({"traceparent": traceparent}):
        await get(peer)
    assert inside["traceparent"].split("-")[1] == "a" * 32
    await get(peer)
    assert inside["traceparent"].split("-")[1] != "a" * 32


async def test_tells_its_health(peer: Peer) -> None:
    check = peer.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    for service in ("", SERVICE):
        answer = await check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(health_pb2.HealthCheckRequest(service="unknown"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_tells_its_services(peer: Peer) -> None:
    reflect = peer.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    async for answer in reflect(iter([reflection_pb2.ServerReflectionRequest(list_services="*")])):
        assert SERVICE in [service.name for service in answer.list_services_response.service]


async def test_a_draining_server_finishes_what_it_took_and_takes_no_more(servicer: Scripted) -> None:
    servicer.behave = servicer.hold
    async with served(servicer) as server:
        peer, newcomer = Peer("costcenter", server.address), Peer("costcenter", server.address)
        taken = asyncio.create_task(get(peer))
        await asyncio.wait_for(servicer.entered.wait(), 5)
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0.05)
        with pytest.raises(DomainError) as caught:
            await newcomer.call(CostCenterServiceStub(newcomer.channel).GetSmsAccount, REQUEST, timeout_seconds=1)
        assert caught.value.is_retryable
        servicer.leave.set()
        assert await taken == ANSWER
        await draining
        await peer.close()
        await newcomer.close()


async def test_a_port_that_is_taken_is_told(server: Server) -> None:
    settings = RpcSettings(listen=server.address, database_url="sqlite:///unused")
    with pytest.raises(RuntimeError):
        await Server(settings).start()


async def test_calls_go_to_all_processes_that_a_name_leads_to() -> None:
    first, second = Scripted(), Scripted()  # type: ignore[abstract]  # the rpcs that no test calls answer UNIMPLEMENTED
    async with served(first) as one, served(second) as other:
        peer = Peer("costcenter", f"ipv4:{one.address},{other.address}")
        calls_until_both_are_connected = 200
        for _ in range(calls_until_both_are_connected):
            await get(peer)
            if first.answered and second.answered:
                break
        before = first.answered, second.answered
        for _ in range(10):
            await get(peer)
        assert (first.answered - before[0], second.answered - before[1]) == (5, 5)
        await peer.close()


async def test_what_a_peer_refuses_is_repeated_by_the_nearest_of_those_that_it_came_through_alone(
    peer: Peer, servicer: Scripted
) -> None:
    calls = 0

    async def refuse() -> pb.GetSmsAccountResponse:
        nonlocal calls
        calls += 1
        raise DomainError(grpc.StatusCode.UNAVAILABLE, "AWAY", "come again")

    servicer.behave = refuse
    outer_servicer = Scripted()  # type: ignore[abstract]  # as above
    outer_servicer.behave = lambda: get(peer)
    async with served(outer_servicer) as outer_server:
        outer_peer = Peer("in between", outer_server.address)
        with pytest.raises(DomainError, match="AWAY"):
            await get(outer_peer)
        await outer_peer.close()
    assert calls == 4


async def test_a_call_is_repeated_by_all_that_it_comes_through_while_its_last_server_cannot_be_reached() -> None:
    calls = 0
    nobody = Peer("nobody", f"{LOOPBACK}:{free_port()}")

    async def ask() -> pb.GetSmsAccountResponse:
        nonlocal calls
        calls += 1
        return await get(nobody)

    servicer = Scripted()  # type: ignore[abstract]  # as above
    servicer.behave = ask
    async with served(servicer) as server:
        peer = Peer("in between", server.address)
        with pytest.raises(DomainError, match="UNAVAILABLE"):
            await get(peer)
        await peer.close()
    await nobody.close()
    assert calls == 4
