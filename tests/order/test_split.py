"""The services of orders in three processes in place of one: nothing but addresses and databases differs."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from brandmesh.order.v1 import order_pb2 as pb
from mesh.bus.port import DEAD_REASON_HEADER, Message
from mesh.loopback import LOOPBACK, free_port
from mesh.message_queues import queue_of
from mesh.testing import eventually
from order_rmq.sweeps import OF_PROCESSES
from order_rpc.settings import NEEDS, Service, Settings
from order_rpc.wiring import SERVICES
from tests.databases import empty_database
from tests.order.databases import PARTS
from tests.order.order.coins import give_coins
from tests.order.order.shop import Shop
from tests.order.running import Running, SwitchedBus, running

SHELF = ("goods", "coupon")
TILL = ("wallet", "payment")
DESK = ("order", "cart", "user", "flash_sale", "sms_package")


async def test_an_order_crosses_three_processes_and_back(tmp_path: Path) -> None:
    bus = SwitchedBus()
    addresses = {services: f"{LOOPBACK}:{free_port()}" for services in (SHELF, TILL, DESK)}
    peers = {f"peer_{service}": address for services, address in addresses.items() for service in services}
    peers = {name: address for name, address in peers.items() if name != "peer_user"}
    processes: list[Running] = []
    async with AsyncExitStack() as stack:
        for number, (services, address) in enumerate(addresses.items()):
            url = await empty_database(tmp_path, f"order_{number}", *PARTS)
            known = {name: value for name, value in peers.items() if value != address}
            process = running(tmp_path, *services, bus=bus, listen=address, database_url=url, **known)
            processes.append(await stack.enter_async_context(process))
        shelf, till, desk = processes
        shop = _shop(shelf, till, desk)
        goods, coupon = await shop.add_goods(number=5), await shop.issue_coupon()
        await give_coins(_on(till), "20.00")
        # The elsewhere of services that order_rmq has no setting for is the process of orders.
        async with desk.consuming(**{name: value for name, value in peers.items() if name != "peer_order"}):
            order = await shop.order([(goods, 2)], coupon_id=coupon.coupon_id, money_paid="20.00")
            assert (order.order_status, order.pay_amount) == (pb.ORDER_STATUS_CONFIRMED, "45.00")
            assert (await shop.stock(goods), await shop.balance()) == (3, "0.00")
            await shop.cancel(order)

            async def all_is_back() -> bool:
                assert (await shop.stock(goods), await shop.balance()) == (5, "20.00")
                return not (await shop.coupon(coupon)).is_used

            await eventually(all_is_back)


async def test_where_some_services_are_all_that_there_is_no_others_are_asked_for(tmp_path: Path) -> None:
    failed_before = _runs("failed")
    async with running(tmp_path, *SHELF) as shelf, shelf.consuming(services=SHELF):
        done_before = _runs("done")
        # Each sweep has run once before one of them has run twice.
        await eventually(lambda: _runs("done") >= done_before + 2 * len(OF_PROCESSES))
        queue = queue_of("order", "cancelled", "wallet")
        message = {"producer": "goods", "msg_id": 1, "msg_topic": "order", "msg_tag": "cancelled", "msg_key": "1"}
        await shelf.bus.publish(queue, [Message(json.dumps(message).encode())])
        (dead,) = await eventually(lambda: shelf.bus.list_dead(queue, 10))
    assert dead.headers[DEAD_REASON_HEADER] == "there is no service wallet"
    assert _runs("failed") == failed_before


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_calls_those_that_the_settings_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    called: set[str] = set()
    address_of = Settings.address_of

    def noted(settings: Settings, name: str) -> str:
        called.add(name)
        return address_of(settings, name)

    monkeypatch.setattr(Settings, "address_of", noted)
    async with running(tmp_path, service, **_peers(service)):
        assert called == set(NEEDS.get(service, ()))


@pytest.mark.parametrize(("service", "needed"), [(one, other) for one, some in NEEDS.items() for other in some])
async def test_a_process_that_does_not_know_where_to_call_does_not_start(
    tmp_path: Path, service: Service, needed: Service
) -> None:
    refused = f"BRANDMESH_PEER_{needed.upper()} is required: {service} calls the {needed} service"
    with pytest.raises(ValidationError, match=refused):
        await running(tmp_path, service, **_peers(service) | {f"peer_{needed}": ""}).__aenter__()


def _peers(service: Service) -> dict[str, str]:
    return {f"peer_{needed}": f"{LOOPBACK}:1" for needed in NEEDS.get(service, ())}


def _runs(outcome: str) -> float:
    """How often sweeps ended so."""
    jobs = {
        sample.labels["job"] for metric in REGISTRY.collect() for sample in metric.samples if "job" in sample.labels
    }
    name = "brandmesh_periodic_runs_total"
    return sum(REGISTRY.get_sample_value(name, {"job": job, "outcome": outcome}) or 0 for job in jobs)


def _on(process: Running) -> Shop:
    return Shop(process)


def _shop(shelf: Running, till: Running, desk: Running) -> Shop:
    """A shop whose stubs lead to the processes that have their services."""
    shop, shelf_shop, till_shop = _on(desk), _on(shelf), _on(till)
    shop.goods, shop.coupons = shelf_shop.goods, shelf_shop.coupons
    shop.wallets, shop.payments = till_shop.wallets, till_shop.payments
    return shop
