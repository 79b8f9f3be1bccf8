"""Proto in, one call, proto out."""

from __future__ import annotations

from typing import Any

from brandmesh.goods.v1 import goods_pb2 as pb
from brandmesh.goods.v1.goods_pb2_grpc import GoodsServiceServicer
from mesh.errors import invalid_field
from mesh.money import to_fen, to_yuan
from mesh.pages import PageRequest
from mesh.timestamps import to_timestamp
from order_rpc.goods.domain import Goods, Reservation, StockLog
from order_rpc.goods.service import Description, GoodsCatalogue
from order_rpc.goods.stock import Stock
from order_rpc.plain_text import read_name, read_text

Context = Any
"""grpc.aio's context, which no method here reads."""


class GoodsServicer(GoodsServiceServicer):
    """What apps, carts and orders call."""

    def __init__(self, catalogue: GoodsCatalogue, stock: Stock) -> None:
        self._catalogue = catalogue
        self._stock = stock

    async def CreateGoods(self, request: pb.CreateGoodsRequest, context: Context) -> pb.CreateGoodsResponse:
        goods = await self._catalogue.create(
            request.brand_id, request.request_id, _description(request), request.goods_number
        )
        return pb.CreateGoodsResponse(goods=_goods(goods))

    async def UpdateGoods(self, request: pb.UpdateGoodsRequest, context: Context) -> pb.UpdateGoodsResponse:
        goods = await self._catalogue.update(request.brand_id, int(request.goods_id), _description(request))
        return pb.UpdateGoodsResponse(goods=_goods(goods))

    async def AdjustStock(self, request: pb.AdjustStockRequest, context: Context) -> pb.AdjustStockResponse:
        goods = await self._catalogue.adjust_stock(
            request.brand_id, int(request.goods_id), request.request_id, request.change
        )
        return pb.AdjustStockResponse(goods=_goods(goods))

    async def GetGoods(self, request: pb.GetGoodsRequest, context: Context) -> pb.GetGoodsResponse:
        return pb.GetGoodsResponse(goods=_goods(await self._catalogue.get(request.brand_id, int(request.goods_id))))

    async def ListGoods(self, request: pb.ListGoodsRequest, context: Context) -> pb.ListGoodsResponse:
        page = await self._catalogue.list(
            request.brand_id, PageRequest.of(request.page_size, request.page_token), on_sale_only=request.on_sale_only
        )
        return pb.ListGoodsResponse(goods=[_goods(one) for one in page.goods], next_page_token=page.next_page_token)

    async def ListStockLogs(self, request: pb.ListStockLogsRequest, context: Context) -> pb.ListStockLogsResponse:
        page = await self._catalogue.list_stock_logs(
            request.brand_id, int(request.goods_id), PageRequest.of(request.page_size, request.page_token)
        )
        return pb.ListStockLogsResponse(
            stock_logs=[_log(log) for log in page.logs], next_page_token=page.next_page_token
        )

    async def BatchGetGoods(self, request: pb.BatchGetGoodsRequest, context: Context) -> pb.BatchGetGoodsResponse:
        goods = await self._catalogue.get_many(request.brand_id, request.goods_ids)
        return pb.BatchGetGoodsResponse(goods=[_goods(one) for one in goods])

    async def ReserveStock(self, request: pb.ReserveStockRequest, context: Context) -> pb.ReserveStockResponse:
        lines = tuple((line.goods_id, line.goods_number) for line in request.lines)
        if len({goods_id for goods_id, _ in lines}) < len(lines):
            raise invalid_field("lines", "names some goods more than once")
        await self._stock.take(Reservation(request.brand_id, request.order_id, lines))
        return pb.ReserveStockResponse()


def _description(request: pb.CreateGoodsRequest | pb.UpdateGoodsRequest) -> Description:
    return Description(
        read_name(request.goods_name, "goods_name"),
        to_fen(request.goods_price, "goods_price"),
        read_text(request.goods_desc, "goods_desc"),
        request.on_sale,
    )


def _goods(goods: Goods) -> pb.Goods:
    return pb.Goods(
        goods_id=str(goods.goods_id),
        brand_id=goods.brand_id,
        goods_name=goods.goods_name,
        goods_number=goods.goods_number,
        goods_price=to_yuan(goods.goods_price_fen),
        goods_desc=goods.goods_desc,
        on_sale=goods.on_sale,
        add_time=to_timestamp(goods.add_time_ms),
    )


def _log(log: StockLog) -> pb.StockLog:
    return pb.StockLog(
        goods_id=str(log.goods_id),
        order_id=str(log.order_id or ""),
        goods_number=log.goods_number,
        log_time=to_timestamp(log.log_time_ms),
    )
