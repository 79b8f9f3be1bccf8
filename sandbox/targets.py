"""The addresses the sandbox pushes to, which may become known only after it has started."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from yarl import URL

from sandbox.json_http import BadRequestError, JsonObject, explain


def _require_empty_or_http(text: str) -> str:
    if text and not _is_http_url(text):
        raise ValueError("must be empty or an absolute http(s) URL")
    return text


def _is_http_url(text: str) -> bool:
    try:
        url = URL(text)
    except ValueError:
        return False
    return url.scheme in {"http", "https"} and bool(url.host)


PushUrl = Annotated[str, AfterValidator(_require_empty_or_http)]
"""An absolute http(s) URL, or "" where nothing is pushed."""


class Targets(BaseModel):
    """Where pushes go at present."""

    model_config = ConfigDict(extra="forbid")

    chuanglan_receipt_url: PushUrl = ""
    chuanglan_uplink_url: PushUrl = ""
    payment_notify_url: PushUrl = ""

    def update(self, body: JsonObject) -> None:
        """Change the addresses named in the body and leave the others.

        Raises:
            BadRequestError: an unknown name or a malformed address; then nothing is changed.

        """
        try:
            changed = Targets.model_validate(self.model_dump() | body)
        except ValidationError as error:
            raise BadRequestError(explain(error)) from error
        self.chuanglan_receipt_url = changed.chuanglan_receipt_url
        self.chuanglan_uplink_url = changed.chuanglan_uplink_url
        self.payment_notify_url = changed.payment_notify_url
