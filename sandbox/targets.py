"""The addresses the sandbox pushes to, which may become known only after it has started."""

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from yarl import URL

from sandbox.json_http import BadRequestError, JsonObject, explain


class Targets(BaseModel):
    """Push addresses; an empty one means that nothing is pushed there."""

    model_config = ConfigDict(extra="forbid")

    chuanglan_receipt_url: str = ""
    chuanglan_uplink_url: str = ""
    payment_notify_url: str = ""

    @field_validator("*")
    @classmethod
    def _is_empty_or_http(cls, value: str) -> str:
        if value and not is_http_url(value):
            raise ValueError("must be empty or an absolute http(s) URL")
        return value

    def update(self, body: JsonObject) -> None:
        """Change the addresses named in the body and leave the others.

        Raises:
            BadRequestError: an unknown name or a malformed address; then nothing is changed.

        """
        try:
            changed = Targets.model_validate(self.model_dump() | body)
        except ValidationError as error:
            raise BadRequestError(explain(error)) from error
        self.__dict__.update(changed.__dict__)


def is_http_url(text: str) -> bool:
    """Whether the text is an absolute URL of http or https."""
    try:
        url = URL(text)
    except ValueError:
        return False
    return url.scheme in {"http", "https"} and bool(url.host)
