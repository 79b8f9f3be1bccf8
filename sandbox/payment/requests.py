"""Requests of a merchant: read, checked, authenticated."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError
from pydantic.alias_generators import to_camel

from sandbox.clock import now_ms
from sandbox.json_http import BadRequestError, explain, parse_json_object
from sandbox.payment.errors import PaymentError
from sandbox.payment.signature import is_signed
from sandbox.settings import Settings
from sandbox.targets import PushUrl

OutTradeNo = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class MerchantRequest(BaseModel):
    """What every request has. `timestamp` is in Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    merchant_id: str
    timestamp: StrictInt
    nonce: str = Field(min_length=8, max_length=64)
    sign: str = Field(pattern=r"^[0-9a-f]{64}$")


class SignedRequest(MerchantRequest):
    """What every request about a payment has."""

    out_trade_no: OutTradeNo


class CreateRequest(SignedRequest):
    """A payment to be made: `amount` in fen; `notify_url` "" for the channel's default."""

    amount: StrictInt = Field(gt=0, le=10_000_000_000)
    currency: Literal["CNY"]
    subject: str = Field(min_length=1, max_length=127)
    notify_url: PushUrl = Field("", max_length=512)


class RefundRequest(SignedRequest):
    """A part of a payment to be paid back: `amount` in fen."""

    out_refund_no: OutTradeNo
    amount: StrictInt = Field(gt=0, le=10_000_000_000)


class StatementRequest(MerchantRequest):
    """A day whose statement is wanted, as YYYY-MM-DD in China."""

    date: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")


RequestT = TypeVar("RequestT", bound=MerchantRequest)


def read_request(model: type[RequestT], body: bytes, settings: Settings) -> RequestT:
    """Read a request of the merchant.

    Raises:
        PaymentError: PARAM_ERROR, MERCHANT_UNKNOWN, SIGN_ERROR or TIMESTAMP_ERROR, in this order.

    """
    try:
        fields = parse_json_object(body)
        request = model.model_validate(fields)
    except BadRequestError as error:
        raise PaymentError("PARAM_ERROR", str(error), 400) from error
    except ValidationError as error:
        raise PaymentError("PARAM_ERROR", explain(error), 400) from error
    if request.merchant_id != settings.payment_merchant_id:
        raise PaymentError("MERCHANT_UNKNOWN", "merchantId: unknown", 401)
    if not is_signed(settings.payment_secret.get_secret_value(), fields):
        raise PaymentError("SIGN_ERROR", "sign: does not match the other fields", 401)
    skew_seconds_max = settings.payment_clock_skew_seconds_max
    if abs(now_ms() / 1000 - request.timestamp) > skew_seconds_max:
        reason = f"timestamp: must be Unix seconds, at most {skew_seconds_max} s off"
        raise PaymentError("TIMESTAMP_ERROR", reason, 401)
    return request
