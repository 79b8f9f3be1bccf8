"""The demonstration that `run` begins with: two brands with credit, keys and a shop, and one SMS on its way."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterServiceStub
from brandmesh.sms.v1 import sms_pb2
from brandmesh.sms.v1.sms_pb2_grpc import SmsServiceStub
from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.smspackage.v1.sms_package_pb2_grpc import SmsPackageServiceStub
from mesh.channel import Peer
from mesh.timestamps import to_timestamp
from meshctl import demo_im
from meshctl.app import App, Json
from meshctl.local import LocalMesh

BRAND_IDS = (1001, 1002)
CREDITS = 1_000_000
DEMO_PHONE = "13800000001"

_YEAR_MS = 365 * 86_400_000
_DELIVERY_SECONDS_MAX = 30.0
_PACKAGES = (
    sms_package_pb2.PutPackageRequest(
        package_id="sms-1000", title="1,000 SMS", credits=1000, price_fen=5000, valid_days=365
    ),
    sms_package_pb2.PutPackageRequest(
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
    async with asyncio.TaskGroup() as group:
        group.create_task(_open_all(mesh))
        keys = group.create_task(_working_keys(mesh, _known_keys(path)))
    brands = [DemoBrand(brand_id, keys.result()[brand_id]) for brand_id in BRAND_IDS]
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


async def _open_all(mesh: LocalMesh) -> None:
    peers = {name: Peer(name, address) for name, address in mesh.grpc_addresses.items()}
    for brand_id in BRAND_IDS:
        await open_brand(peers["costcenter"], peers["sms"], brand_id, credit=CREDITS)
        await demo_im.furnish(peers["messagecenter"], brand_id)
    for package in _PACKAGES:
        await peers["order"].call(SmsPackageServiceStub(peers["order"].channel).PutPackage, package)
    for peer in peers.values():
        await peer.close()


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


def _known_keys(path: Path) -> dict[int, str]:
    """Read the keys of an earlier run, empty where there is none: only their hashes are stored elsewhere."""
    brands = json.loads(path.read_text())["brands"] if path.exists() else []
    return dict.fromkeys(BRAND_IDS, "") | {brand["brand_id"]: brand["api_key"] for brand in brands}


async def _working_keys(mesh: LocalMesh, known: dict[int, str]) -> dict[int, str]:
    """Go on with known keys where they still work; otherwise make new ones."""
    async with aiohttp.ClientSession() as session:
        working = {
            brand_id: key for brand_id, key in known.items() if key and await _works(mesh, session, brand_id, key)
        }
    missing = [str(brand_id) for brand_id in known if brand_id not in working]
    # In one process: to start it takes longer than to make thousands.
    made = await _create_keys(mesh.database_url("gateway"), ",".join(missing), "--each") if missing else []
    return working | {int(brand_id): key for brand_id, key in zip(missing, made, strict=True)}


async def _works(mesh: LocalMesh, session: aiohttp.ClientSession, brand_id: int, key: str) -> bool:
    app = App(session, mesh.gateway_url, brand_id, key)
    # A key of an earlier version lacks the scopes of what came since.
    answers = [await app.call("GET", path) for path in ("/smsAccount", "/goods")]
    return all(status == HTTPStatus.OK for status, _ in answers)


async def create_key(database_url: str, brands: str) -> str:
    """Make an API key with all scopes for brands (comma-separated)."""
    [key] = await _create_keys(database_url, brands)
    return key


async def _create_keys(database_url: str, brands: str, *options: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway.keys", "create", "--database-url", database_url),
        *("--brands", brands, "--scopes", "all", "--name", "demo", *options),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("gateway.keys could not make a key; what it said stands above")
    return output.decode().split()


async def send_one(app: App) -> Json:
    """Send one SMS through the gateway and wait until it is delivered; answer GetSms's JSON as it stands then."""
    body = {
        "requestId": f"demo-{time.time_ns()}",
        "type": "verification",
        "phones": [DEMO_PHONE],
        "content": "Your code is 246810",
        "signature": "brandmesh",
    }
    sent = await app.ok("POST", "/sms", body)
    path = f"/sms/{sent['messages'][0]['messageId']}"
    async with asyncio.timeout(_DELIVERY_SECONDS_MAX):
        while True:
            message = await app.ok("GET", path)
            if message["sms"]["status"] in {"delivered", "failed", "unconfirmed"}:
                return message
            await asyncio.sleep(0.05)


def _write_private(path: Path, content: Json) -> None:
    """Write for the owner alone: the file holds keys."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(content, indent=2) + "\n")
