"""The peers in this service's words. Each call may raise DomainError, and may be made again as it is."""

from __future__ import annotations

from collections.abc import Collection

from brandmesh.goods.v1 import goods_pb2
from brandmesh.goods.v1.goods_pb2_grpc import GoodsServiceStub
from mesh.channel import Peer
from mesh.money import to_fen
from order_rpc.cart.domain import GoodsNow


class Goods:
    """The goods service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = GoodsServiceStub(peer.channel)

    async def get(self, brand_id: int, goods_ids: Collection[int]) -> dict[int, GoodsNow]:
        """Answer those of up to 1,000 goods that the brand has."""
        if not goods_ids:
            return {}
        request = goods_pb2.BatchGetGoodsRequest(brand_id=brand_id, goods_ids=sorted(goods_ids))
        response = await self._peer.call(self._stub.BatchGetGoods, request)
        return {
            int(one.goods_id): GoodsNow(
                one.goods_name, one.goods_number, to_fen(one.goods_price, "goods_price"), one.on_sale
            )
            for one in response.goods
        }
