"""Coins for a user of a test: what one earns who has sold something."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import orjson

from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from mesh.money import to_fen

if TYPE_CHECKING:
    from tests.order.order.shop import Shop

_numbers = itertools.count(1)


async def give_coins(shop: Shop, amount: str, user_id: str = "71", brand_id: int = 7) -> None:
    """Tell the wallet of a sale."""
    number = next(_numbers)
    body = {"brand_id": brand_id, "seller_id": int(user_id), "amount_fen": to_fen(amount, "")}
    message = messaging_pb2.Message(
        msg_id=number,
        producer="tests",
        msg_topic="order",
        msg_tag="received",
        msg_key=str(number),
        msg_body=orjson.dumps(body).decode(),
    )
    request = messaging_pb2.ConsumeMessagesRequest(service="wallet", messages=[message])
    answer = await shop.call(MessageServiceStub(shop.running.peer.channel).ConsumeMessages, request)
    assert [result.status for result in answer.results] == [messaging_pb2.CONSUMED_STATUS_SUCCEEDED], answer
