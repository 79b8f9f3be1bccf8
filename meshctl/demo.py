"""The demonstration that `run` begins with: two brands with credit and keys, and one SMS on its way."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterServiceStub
from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import OrderServiceStub
from brandmesh.sms.v1 import sms_pb2
from brandmesh.sms.v1.sms_pb2_grpc import SmsServiceStub
from mesh.channel import Peer
from mesh.timestamps import to_timestamp
from meshctl.local import LocalMesh

BRAND_IDS = (1001, 1002)
CREDITS = 1_000_000
DEMO_PHONE = "13800000001"

_YEAR_MS = 365 * 86_400_000
_DELIVERY_SECONDS_MAX = 30.0
_PACKAGES = (
    order_pb2.PutPackageRequest(package_id="sms-1000", title="1,000 SMS", credits=1000, price_fen=5000, valid_days=365),
    order_pb2.PutPackageRequest(
        package_id="sms-10000", title="10,000 SMS", credits=10_000, price_fen=45_000, valid_days=365
    ),
)


@dataclass(frozen=True, slots=True)
class DemoBrand:
    """A brand and the key that its app would hold."""

    brand_id: int
    api_key: str


async def prepare(mesh: LocalMesh) -> list[DemoBrand]:
    """Open the demo brands, give each credit and a key, fill the catalogue, and write demo.json. Repeatable."""
    path = mesh.options.state_directory / "demo.json"
    cost_peer, sms_peer, order_peer = (Peer(name, address) for name, address in mesh.grpc_addresses.items())
    for brand_id in BRAND_IDS:
        await open_brand(cost_peer, sms_peer, brand_id, credit=CREDITS)
    for package in _PACKAGES:
        await order_peer.call(OrderServiceStub(order_peer.channel).PutPackage, package)
    for peer in (cost_peer, sms_peer, order_peer):
        await peer.close()
    brands = await _keep_keys(mesh, path)
    _write_private(
        path,
        {
            "gateway": mesh.gateway_url,
            "brands": [asdict(brand) for brand in brands],
            "grpc": mesh.grpc_addresses,
            "sandbox": mesh.sandbox_url,
        },
    )
    return brands


async def open_brand(
    cost_peer: Peer, sms_peer: Peer, brand_id: int, *, credit: int, international: bool = False
) -> None:
    """Make a brand known to the cost center and the SMS service, and grant it a first package once."""
    cost = CostCenterServiceStub(cost_peer.channel)
    await cost_peer.call(cost.OpenSmsAccount, costcenter_pb2.OpenSmsAccountRequest(brand_id=brand_id))
    brand = sms_pb2.PutSmsBrandRequest(brand_id=brand_id, international=international)
    await sms_peer.call(SmsServiceStub(sms_peer.channel).PutSmsBrand, brand)
    account = costcenter_pb2.GetSmsAccountRequest(brand_id=brand_id)
    if credit and not (await cost_peer.call(cost.GetSmsAccount, account)).granted:
        grant = costcenter_pb2.GrantSmsPackageRequest(
            brand_id=brand_id,
            request_id="first-package",
            num=credit,
            expire_time=to_timestamp(time.time_ns() // 1_000_000 + _YEAR_MS),
            reference="first package",
        )
        await cost_peer.call(cost.GrantSmsPackage, grant)


async def _keep_keys(mesh: LocalMesh, path: Path) -> list[DemoBrand]:
    """Go on with the keys of an earlier run where they still work: only their hashes are stored, so keep them here."""
    known = _known_keys(path)
    return [DemoBrand(brand_id, await _working_key(mesh, brand_id, known.get(brand_id, ""))) for brand_id in BRAND_IDS]


def _known_keys(path: Path) -> dict[int, str]:
    if not path.exists():
        return {}
    return {brand["brand_id"]: brand["api_key"] for brand in json.loads(path.read_text())["brands"]}


async def _working_key(mesh: LocalMesh, brand_id: int, key: str) -> str:
    if key:
        url = f"{mesh.gateway_url}/v1/brands/{brand_id}/smsAccount"
        async with aiohttp.ClientSession(headers=_authorization(key)) as session, session.get(url) as response:
            if response.status == HTTPStatus.OK:
                return key
    return await create_key(mesh.database_url("gateway"), str(brand_id))


async def create_key(database_url: str, brands: str) -> str:
    """Make an API key with all scopes for brands (comma-separated)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway.keys", "create", "--database-url", database_url),
        *("--brands", brands, "--scopes", "all", "--name", "demo"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("gateway.keys could not make a key; what it said stands above")
    return output.decode().strip()


async def send_one(mesh: LocalMesh, brand: DemoBrand) -> dict[str, Any]:
    """Send one SMS through the gateway and wait until it is delivered; answer GetSms's JSON as it stands then."""
    base = f"{mesh.gateway_url}/v1/brands/{brand.brand_id}/sms"
    body = {
        "requestId": f"demo-{time.time_ns()}",
        "type": "verification",
        "phones": [DEMO_PHONE],
        "content": "Your code is 246810",
        "signature": "brandmesh",
    }
    async with aiohttp.ClientSession(headers=_authorization(brand.api_key)) as session:
        async with session.post(base, json=body) as response:
            answer = await response.json(content_type=None)
            if response.status != HTTPStatus.OK:
                raise RuntimeError(f"the demo SMS was refused: {answer}")
        url = f"{base}/{answer['messages'][0]['messageId']}"
        async with asyncio.timeout(_DELIVERY_SECONDS_MAX):
            while True:
                async with session.get(url) as response:
                    message: dict[str, Any] = await response.json()
                if message["sms"]["status"] in {"delivered", "failed", "unconfirmed"}:
                    return message
                await asyncio.sleep(0.05)


def _authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _write_private(path: Path, content: dict[str, Any]) -> None:
    """Write for the owner alone: the file holds keys."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(content, indent=2) + "\n")
