"""What operators set of a further payment channel."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr


class WechatPaySettings(BaseModel):
    """A merchant of WeChat Pay, as its console names things."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: HttpUrl = Field(HttpUrl("https://api.mch.weixin.qq.com"), description="Scheme, host and port of the API")
    app_id: str = Field(min_length=1, max_length=32, description="The application that payments are made in (appid)")
    merchant_id: str = Field(min_length=1, max_length=32, description="Who we are (mchid)")
    merchant_serial: str = Field(min_length=1, max_length=64, description="Serial number of our API certificate")
    merchant_key: SecretStr = Field(min_length=64, description="Private key of our API certificate, PEM")
    platform_serial: str = Field(
        min_length=1, max_length=64, description="Id of WeChat Pay's public key, or serial number of its certificate"
    )
    platform_key: str = Field(min_length=64, description="That public key, PEM")
    api_key: SecretStr = Field(min_length=32, max_length=32, description="APIv3 key, which notifications are hidden by")
    notify_url: HttpUrl = Field(description="Where payments are told of: the gateway's /webhooks/payment/wechat")
