"""The HTTP of the payment channel, for merchants and for payers."""

from collections.abc import Awaitable, Callable
from functools import partial
from html import escape

from aiohttp import web

from sandbox.json_http import JsonObject, json_response
from sandbox.payment.errors import PaymentError
from sandbox.payment.notifications import Notifier
from sandbox.payment.payments import Payment, PaymentBook, PaymentStatus, close, pay
from sandbox.payment.requests import CreateRequest, SignedRequest, read_request
from sandbox.payment.signature import sign
from sandbox.settings import Settings

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}


class PaymentApi:
    """Routes of the payment channel."""

    def __init__(self, settings: Settings, book: PaymentBook, notifier: Notifier) -> None:
        """Take the payments and who tells the merchant."""
        self._settings = settings
        self._book = book
        self._notifier = notifier

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of merchants, then those of payers, then the admin's."""
        number = "{out_trade_no:[^/:]+}"
        return [
            web.post("/pay/v1/payments", _answering(self._create)),
            web.post(f"/pay/v1/payments/{number}:query", _answering(self._query)),
            web.post(f"/pay/v1/payments/{number}:close", _answering(self._close)),
            web.get(r"/pay/{trade_no:\d+}", _answering(self._show)),
            web.post(r"/pay/{trade_no:\d+}:pay", _answering(self._pay)),
            web.get("/admin/payments/{out_trade_no}", _answering(self._inspect)),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        asked = read_request(CreateRequest, await request.read(), self._settings)
        payment = self._book.create(asked, str(request.url.origin()))
        return self._signed({"tradeNo": payment.trade_no, "payUrl": payment.pay_url}, payment)

    async def _query(self, request: web.Request) -> web.Response:
        return self._state(await self._named_payment(request))

    async def _close(self, request: web.Request) -> web.Response:
        payment = await self._named_payment(request)
        close(payment)
        return self._state(payment)

    async def _show(self, request: web.Request) -> web.Response:
        payment = self._book.by_trade_no(request.match_info["trade_no"])
        return web.Response(text=_render(payment), content_type="text/html", headers=_PAGE_HEADERS)

    async def _pay(self, request: web.Request) -> web.Response:
        """Pay; a browser is led back to the page, anybody else gets JSON."""
        payment = self._book.by_trade_no(request.match_info["trade_no"])
        if pay(payment):
            self._notifier.announce(payment)
        if "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=303, headers={"Location": f"/pay/{payment.trade_no}"})
        return json_response(_describe(payment))

    async def _inspect(self, request: web.Request) -> web.Response:
        """Show a payment with the attempts to notify."""
        payment = self._book.by_out_trade_no(request.match_info["out_trade_no"])
        attempts = [attempt._asdict() for attempt in payment.notifications]
        return json_response({**_describe(payment), "notifications": attempts})

    async def _named_payment(self, request: web.Request) -> Payment:
        """Find the payment that path and signed body agree on."""
        asked = read_request(SignedRequest, await request.read(), self._settings)
        if asked.out_trade_no != request.match_info["out_trade_no"]:
            raise PaymentError("PARAM_ERROR", "outTradeNo: must be the one in the path", 400)
        return self._book.by_out_trade_no(asked.out_trade_no)

    def _state(self, payment: Payment) -> web.Response:
        return self._signed(_describe(payment), payment)

    def _signed(self, body: JsonObject, payment: Payment) -> web.Response:
        request = payment.request
        answer = {"code": "SUCCESS", "merchantId": request.merchant_id, "outTradeNo": request.out_trade_no, **body}
        secret = self._settings.payment_secret.get_secret_value()
        return json_response({**answer, "sign": sign(secret, answer)})


def _answering(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    return partial(_answer, handler)


async def _answer(handler: Callable[[web.Request], Awaitable[web.Response]], request: web.Request) -> web.Response:
    """Answer a refusal with its code, the reason and the HTTP status."""
    try:
        return await handler(request)
    except PaymentError as error:
        return json_response({"code": error.code, "message": error.reason}, status=error.http_status)


def _describe(payment: Payment) -> JsonObject:
    return {
        "tradeNo": payment.trade_no,
        "outTradeNo": payment.request.out_trade_no,
        "amount": payment.request.amount,
        "currency": payment.request.currency,
        "status": payment.status,
        "paidAt": payment.paid_at_ms,
    }


def _render(payment: Payment) -> str:
    """Render the payer's page; the amount is shown in yuan."""
    yuan, fen = divmod(payment.request.amount, 100)
    form = (
        f'<form method="post" action="/pay/{payment.trade_no}:pay"><button>Pay</button></form>'
        if payment.status is PaymentStatus.NOTPAY
        else f"<p>Status: {payment.status}</p>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Sandbox payment</title>'
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:3rem auto;"
        "padding:0 1rem}button{font:inherit;padding:.5rem 2rem}</style></head><body><main><h1>Sandbox payment</h1>"
        f"<p>{escape(payment.request.subject)}</p><p>{yuan}.{fen:02} {payment.request.currency}</p>"
        f"{form}</main></body></html>"
    )
