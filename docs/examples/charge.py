"""Freeze credits, charge a part of them, have the charge refunded: what a service that sends something does.

Run it while `make run` serves: `.venv/bin/python docs/examples/charge.py`.
"""
# ruff: noqa: INP001, T201  # a script to read and to run, not a package

import asyncio
import json
import time
from pathlib import Path

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterServiceStub
from mesh.channel import Peer
from mesh.errors import DomainError

BRAND_ID = 1002


async def charge(peer: Peer) -> None:
    cost_center = CostCenterServiceStub(peer.channel)
    # One request_id makes a call happen once, however often it is made.
    name = f"example-{time.time_ns()}"

    prepay = pb.SmsSendPrePayRequest(brand_id=BRAND_ID, request_id=name, num=10)
    freeze = await peer.call(cost_center.SmsSendPrePay, prepay)
    print("frozen:", freeze.balance.frozen)

    pay = pb.SmsSendPayRequest(brand_id=BRAND_ID, request_id=name, freeze_id=freeze.freeze_id, num=4)
    payment = await peer.call(cost_center.SmsSendPay, pay)
    print("charged:", payment.charged, "still frozen:", payment.balance.frozen)

    failed = pb.SmsSendStatusCallBackRequest(
        brand_id=BRAND_ID, request_id=name, payment_id=payment.payment_id, status=pb.SMS_SEND_STATUS_FAILED
    )
    report = await peer.call(cost_center.SmsSendStatusCallBack, failed)
    print("refunded:", report.refunded)

    # Stored when this answers, applied by costcenter_rmq a moment later.
    release = pb.SmsReleaseFreezeNumRequest(brand_id=BRAND_ID, request_id=name, freeze_request_id=name)
    await peer.call(cost_center.SmsReleaseFreezeNum, release)

    too_much = pb.SmsSendPrePayRequest(brand_id=BRAND_ID, request_id=f"{name}-2", num=1_000_000_000)
    try:
        await peer.call(cost_center.SmsSendPrePay, too_much)
    except DomainError as refusal:
        print("refused:", refusal.reason, "required:", refusal.metadata["required"])


async def main(address: str) -> None:
    # A Peer gives each call a deadline, repeats it where that is safe, and turns refusals into DomainError.
    peer = Peer("costcenter_rpc", address)
    try:
        await charge(peer)
    finally:
        await peer.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path("var/demo.json").read_text())["grpc"]["costcenter"]))
