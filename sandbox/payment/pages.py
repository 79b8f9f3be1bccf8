"""The payer's side of a channel: a page with a button, and what it does."""

from html import escape
from itertools import islice

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.clock import now_ms
from sandbox.faults import FaultBoard
from sandbox.json_http import BadRequestError, JsonObject, explain, json_response
from sandbox.payment.calls import Calls
from sandbox.payment.faults import DaysAgo
from sandbox.payment.notifications import Notifier
from sandbox.payment.payments import Payment, PaymentBook, PaymentStatus, pay

DAY_MS = 86_400_000
PAGE_DEFAULT = 100
PAGE_MAX = 1000

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}


class _PaymentsQuery(BaseModel):
    """Query of the list of payments; `before` is a tradeNo, and 0 asks for the newest."""

    model_config = ConfigDict(extra="forbid")

    before: int = Field(0, ge=0)
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)


class PayerPages:
    """Routes of payers, and of the admin, under a path of the channel's own."""

    def __init__(
        self, path: str, admin_path: str, *, book: PaymentBook, notifier: Notifier, board: FaultBoard, calls: Calls
    ) -> None:
        """Take the payments and who tells the merchant."""
        self._path = path
        self._admin_path = admin_path
        self._book = book
        self._notifier = notifier
        self._board = board
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of payers, then the admin's."""
        return [
            web.get(rf"{self._path}/{{trade_no:\d+}}", self._calls.plainly(self._show)),
            web.post(rf"{self._path}/{{trade_no:\d+}}:pay", self._calls.plainly(self._pay)),
            web.get(self._admin_path, self._list),
            web.get(f"{self._admin_path}/{{out_trade_no}}", self._calls.plainly(self._inspect)),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        payment = self._book.by_trade_no(request.match_info["trade_no"])
        return web.Response(text=self._render(payment), content_type="text/html", headers=_PAGE_HEADERS)

    async def _pay(self, request: web.Request) -> web.Response:
        """Pay; a browser is led back to the page, anybody else gets JSON."""
        payment = self._book.by_trade_no(request.match_info["trade_no"])
        if pay(payment, channel_now_ms(self._board, payment.order.merchant_id)):
            self._notifier.announce(payment)
        if "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=303, headers={"Location": f"{self._path}/{payment.trade_no}"})
        return json_response(describe(payment))

    async def _list(self, request: web.Request) -> web.Response:
        """Show payments with their refunds, newest first; `next_before` asks for the next page and is 0 on the last."""
        try:
            query = _PaymentsQuery.model_validate(dict(request.query))
        except ValidationError as error:
            raise BadRequestError(explain(error)) from error
        found = list(islice(self._book.latest(query.before), query.limit))
        next_before = int(found[-1].trade_no) if len(found) == query.limit else 0
        return json_response({"payments": [_describe_whole(one) for one in found], "next_before": next_before})

    async def _inspect(self, request: web.Request) -> web.Response:
        """Show a payment with its refunds and the attempts to notify."""
        payment = self._book.by_out_trade_no(request.match_info["out_trade_no"])
        attempts = [attempt._asdict() for attempt in payment.notifications]
        return json_response({**_describe_whole(payment), "notifications": attempts})

    def _render(self, payment: Payment) -> str:
        """Render the payer's page; the amount is shown in yuan."""
        yuan, fen = divmod(payment.order.amount, 100)
        form = (
            f'<form method="post" action="{self._path}/{payment.trade_no}:pay"><button>Pay</button></form>'
            if payment.status is PaymentStatus.NOTPAY
            else f"<p>Status: {payment.status}</p>"
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><title>Sandbox payment</title>'
            "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;"
            "margin:3rem auto;padding:0 1rem}button{font:inherit;padding:.5rem 2rem}</style></head><body><main>"
            f"<h1>Sandbox payment</h1><p>{escape(payment.order.subject)}</p>"
            f"<p>{yuan}.{fen:02} {payment.order.currency}</p>{form}</main></body></html>"
        )


def describe(payment: Payment) -> JsonObject:
    """Write a payment as the sandbox's own JSON."""
    return {
        "tradeNo": payment.trade_no,
        "outTradeNo": payment.order.out_trade_no,
        "amount": payment.order.amount,
        "currency": payment.order.currency,
        "status": payment.status,
        "paidAt": payment.paid_at_ms,
    }


def _describe_whole(payment: Payment) -> JsonObject:
    """Write a payment with its refunds."""
    refunds = [
        {"outRefundNo": one.out_refund_no, "refundNo": one.refund_no, "amount": one.amount} for one in payment.refunds
    ]
    return {**describe(payment), "refunds": refunds}


def channel_now_ms(board: FaultBoard, merchant_id: str) -> int:
    """What time it is by the channel's clock."""
    ago = board.draw(DaysAgo, merchant_id)
    return now_ms() - (ago.days if ago else 0) * DAY_MS
