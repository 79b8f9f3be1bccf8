"""Settings of the sandbox: environment variables `BRANDMESH_SANDBOX_*` and kebab-case flags of the same names."""

from typing import Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from sandbox.targets import PushUrl

_DEMO_PASSWORD = SecretStr("sandbox-password")


class ChuangLanAccount(BaseModel):
    """One API account; `balance` is in billed segments. Push addresses of its own go before those of all accounts."""

    account: str = Field(min_length=1)
    password: SecretStr
    balance: int = Field(1_000_000_000, ge=0)
    receipt_url: PushUrl = ""
    uplink_url: PushUrl = ""


def _demo_accounts() -> list[ChuangLanAccount]:
    """One account for verification codes and notifications, one for marketing."""
    return [
        ChuangLanAccount(account="N1000001", password=_DEMO_PASSWORD),
        ChuangLanAccount(account="M1000001", password=_DEMO_PASSWORD),
    ]


class Settings(BaseSettings):
    """Everything that can be chosen before start. The push addresses can also be changed at run time."""

    model_config = SettingsConfigDict(
        env_prefix="BRANDMESH_SANDBOX_", cli_kebab_case=True, cli_prog_name="sandbox", extra="forbid"
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8090, ge=0, le=65_535, description="Port to listen on; 0 takes a free one and prints it.")
    seed: int = Field(1, description="Seed of every random choice, so that a run can be replayed.")
    stop_grace_seconds: float = Field(5.0, gt=0, description="Time for requests and pushes under way at a stop.")
    hang_seconds_max: float = Field(600.0, gt=0, description="A hanging answer is given up after this time.")
    body_bytes_max: int = Field(4 * 1024 * 1024, gt=0, description="Larger request bodies are refused.")

    push_connections_max: int = Field(32, gt=0, description="Pushes under way at once.")
    push_timeout_seconds: float = Field(5.0, gt=0, description="A push without an answer after this time failed.")
    pending_pushes_max: int = Field(200_000, gt=0, description="Pushes waiting for their time; more are not pushed.")

    chuanglan_accounts: list[ChuangLanAccount] = Field(
        default_factory=_demo_accounts, min_length=1, description="Accounts of the SMS provider, as JSON."
    )
    chuanglan_sensitive_words: list[str] = Field(
        default_factory=lambda: ["sandbox-forbidden"], description="Texts with one of these are refused with 105."
    )
    chuanglan_receiver: str = Field("sandbox-receiver", description="`receiver` of every push.")
    chuanglan_pswd: SecretStr = Field(SecretStr("sandbox-pswd"), description="`pswd` of every push.")
    chuanglan_receipt_url: PushUrl = Field("", description="Where receipts are pushed; empty leaves them to be pulled.")
    chuanglan_uplink_url: PushUrl = Field("", description="Where uplinks are pushed; empty leaves them to be pulled.")
    chuanglan_receipt_delay_seconds: float = Field(0.2, ge=0, description="From acceptance to the receipt.")
    chuanglan_push_retry_seconds: float = Field(60.0, gt=0, description="Time between attempts to push one notice.")
    chuanglan_push_attempts: int = Field(3, gt=0, description="Attempts to push one notice, the first included.")
    chuanglan_pull_retention_seconds: float = Field(72 * 3600.0, gt=0, description="How long a notice can be pulled.")
    chuanglan_pull_kept_max: int = Field(100_000, gt=0, description="Notices an account can have waiting for pull.")
    chuanglan_messages_kept_max: int = Field(200_000, gt=0, description="Accepted messages kept for /admin/messages.")
    chuanglan_duplicate_keys_max: int = Field(
        1_000_000, ge=2, description="Messages remembered for the count of duplicates."
    )

    payment_merchant_id: str = Field("190000001", min_length=1, description="The only merchant.")
    payment_secret: SecretStr = Field(SecretStr("sandbox-payment-secret"), description="HMAC key of the merchant.")
    payment_notify_url: PushUrl = Field("", description="Notified when a payment names no notifyUrl of its own.")
    payment_notify_attempts: int = Field(8, gt=0, description="Attempts to notify, the first included.")
    payment_notify_backoff_seconds: float = Field(1.0, gt=0, description="First wait after a failure; then doubled.")
    payment_notify_backoff_seconds_max: float = Field(60.0, gt=0, description="Longest wait between attempts.")
    payment_clock_skew_seconds_max: int = Field(300, gt=0, description="Older or newer requests are refused.")
    payments_kept_max: int = Field(20_000, gt=0, description="Payments kept; the oldest are forgotten.")

    wechat_app_id: str = Field("wxsandbox", min_length=1, description="appid of WeChat Pay's only merchant.")
    wechat_merchant_id: str = Field("1900000002", min_length=1, description="mchid of that merchant.")
    wechat_merchant_serial: str = Field("5AD0C", min_length=1, description="Serial number of its API certificate.")
    wechat_merchant_key: str = Field("", description="Public key of that certificate, PEM; empty: no WeChat Pay.")
    wechat_platform_serial: str = Field("PUB_KEY_ID_SANDBOX", min_length=1, description="Id of WeChat Pay's key.")
    wechat_platform_key: SecretStr = Field(
        SecretStr(""), description="Private key that WeChat Pay signs with, PEM; empty: no WeChat Pay."
    )
    wechat_api_key: SecretStr = Field(
        SecretStr("sandbox-wechat-api-key-32-letter"), min_length=32, max_length=32, description="Its APIv3 key."
    )

    txim_sdkappid: int = Field(
        1_400_000_001, gt=0, lt=1 << 32, description="SDKAppID of the only application of Tencent IM."
    )
    txim_administrator: str = Field("administrator", min_length=1, description="`identifier` that may call its API.")
    txim_secret_key: SecretStr = Field(SecretStr("sandbox-txim-key"), description="Key that UserSigs are made with.")
    txim_calls_per_second_max: int = Field(
        200, ge=2, description="Calls of a command in any second; more get 60007. multiaccount_import has half of it."
    )
    txim_recipients_per_minute_max: int = Field(
        12_000, gt=0, description="Recipients of batchsendmsg in any minute; more get 60011."
    )
    txim_imported_state: Literal["Online", "PushOnline", "Offline"] = Field(
        "Online", description="Online state of an account that was just imported."
    )
    txim_online_state_field: Literal["State", "Status"] = Field(
        "State", description="How query_online_status names a state: `State`, or the older `Status`."
    )
    txim_accounts_max: int = Field(100_000, gt=0, description="Accounts; more get 70398.")
    txim_messages_kept_max: int = Field(200_000, gt=0, description="Delivered messages kept for pages and admin.")
    txim_repeats_remembered_max: int = Field(
        1_000_000, ge=2, description="Messages remembered, so that a repeat is not delivered again."
    )
    txim_pages_max: int = Field(50, gt=0, description="Screen pages that are served live at once.")
    txim_page_changes_max: int = Field(5_000, gt=0, description="Changes waiting for a page; a slower one is dropped.")
