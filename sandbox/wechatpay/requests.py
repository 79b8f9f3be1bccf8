"""Requests of the merchant, read and checked."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from sandbox.json_http import BadRequestError, explain, parse_json_object
from sandbox.payment.errors import PaymentError
from sandbox.targets import PushUrl

OutTradeNo = Annotated[str, Field(pattern=r"^[A-Za-z0-9_|*-]{6,32}$")]
OutRefundNo = Annotated[str, Field(pattern=r"^[A-Za-z0-9_|*@-]{1,64}$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Amount(_Request):
    """What is to be paid, in fen."""

    total: StrictInt = Field(gt=0, le=10_000_000_000)
    currency: Literal["CNY"] = "CNY"


class NativeRequest(_Request):
    """A payment whose code the payer scans."""

    appid: str
    mchid: str
    description: str = Field(min_length=1, max_length=127)
    out_trade_no: OutTradeNo
    notify_url: PushUrl = Field(min_length=1, max_length=255)
    amount: Amount


class CloseRequest(_Request):
    """Who closes."""

    mchid: str


class RefundAmount(_Request):
    """How much is to be paid back, of how much, in fen."""

    refund: StrictInt = Field(gt=0, le=10_000_000_000)
    total: StrictInt = Field(gt=0, le=10_000_000_000)
    currency: Literal["CNY"]


class RefundRequest(_Request):
    """A part of a payment to be paid back."""

    out_trade_no: OutTradeNo
    out_refund_no: OutRefundNo
    reason: str = Field("", max_length=80)
    amount: RefundAmount


RequestT = TypeVar("RequestT", bound=_Request)


def read_request(model: type[RequestT], body: bytes) -> RequestT:
    """Read a body; PaymentError PARAM_ERROR names what is wrong."""
    try:
        return model.model_validate(parse_json_object(body))
    except BadRequestError as error:
        raise PaymentError("PARAM_ERROR", str(error), 400) from error
    except ValidationError as error:
        raise PaymentError("PARAM_ERROR", explain(error), 400) from error
