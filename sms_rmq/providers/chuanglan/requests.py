"""Bodies of ChuangLan V1 calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from sms_rmq.providers.port import Recipient, Submission
    from sms_rmq.providers.settings import ProviderAccountSettings

MAINLAND_PREFIX = "+86"
_SEPARATORS = (",", ";")


class UnsendableError(ValueError):
    """A value that would be read as something else, by other recipients too."""


class BodyWriter:
    """Writes the bodies of one account's calls."""

    def __init__(self, settings: ProviderAccountSettings) -> None:
        self._credentials = {"account": settings.account, "password": settings.password.get_secret_value()}
        self._international = settings.international

    def send(self, submission: Submission) -> bytes:
        """Write a send: `msg` to the comma list `phone`, with receipts asked for and the dispatch as `uid`."""
        phones = ",".join([self._phone(recipient) for recipient in submission.recipients])
        return self._submission(submission, {"phone": phones})

    def send_variable(self, submission: Submission) -> bytes:
        """Write a variable send: `params` holds a group `phone,value,value` for each recipient, by semicolons.

        Raises:
            UnsendableError: a value holds a comma or a semicolon, for which there is no escape.

        """
        groups = []
        for recipient in submission.recipients:
            if any(separator in value for value in recipient.params for separator in _SEPARATORS):
                message = "a value holds a comma or a semicolon"
                raise UnsendableError(message)
            groups.append(",".join((self._phone(recipient), *recipient.params)))
        return self._submission(submission, {"params": ";".join(groups)})

    def pull(self, count: int) -> bytes:
        """Write a pull of up to `count` items."""
        return orjson.dumps(self._credentials | {"count": str(count)})

    def _submission(self, submission: Submission, to: dict[str, str]) -> bytes:
        common = {"msg": submission.text, "report": "true", "uid": str(submission.dispatch_id)}
        return orjson.dumps(self._credentials | common | to)

    def _phone(self, recipient: Recipient) -> str:
        """Write a mainland phone as its 11 digits, any other, and all of an international account, with its country."""
        if self._international:
            return recipient.phone_e164.removeprefix("+")
        return recipient.phone_e164.removeprefix(MAINLAND_PREFIX).removeprefix("+")
