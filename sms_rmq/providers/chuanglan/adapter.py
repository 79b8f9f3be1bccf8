"""One account of ChuangLan V1 over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
from yarl import URL

from mesh import telemetry
from mesh.provider.circuit import Trouble
from mesh.provider.http_call import AnswerLostError, CallFailedError, HttpAnswer, HttpCaller, NotSentError
from sms_rmq.providers.chuanglan.answers import (
    CODE_CHARACTERS_MAX,
    AnswerReader,
    Fields,
    UnreadableAnswerError,
    read_object,
    read_text,
)
from sms_rmq.providers.chuanglan.callbacks import ChuangLanCallbacks
from sms_rmq.providers.chuanglan.codes import BUSY_SECONDS, INTERNATIONAL, MAINLAND
from sms_rmq.providers.chuanglan.requests import BodyWriter, UnsendableError
from sms_rmq.providers.port import (
    Accepted,
    MalformedCallbackError,
    MalformedItem,
    Outcome,
    ProviderCallError,
    Pulled,
    Receipt,
    Rejected,
    RetryLater,
    Submission,
    Unknown,
    Uplink,
)
from sms_rmq.providers.settings import ProviderAccountSettings

PULL_COUNT_MAX: Final = 100
_LOGGED_CHARACTERS_MAX: Final = 200

ItemT = TypeVar("ItemT", Receipt, Uplink)

_log = telemetry.logger()


class ChuangLan:
    """Implements `Provider` for one account. The session is the caller's, its time-outs and connections too."""

    def __init__(self, settings: ProviderAccountSettings, session: aiohttp.ClientSession) -> None:
        base = str(settings.base_url).rstrip("/")
        self._name = settings.name
        self._send_url = URL(base + settings.send_path)
        self._variable_url = URL(base + settings.variable_path)
        self._pull_receipts_url = URL(base + settings.pull_receipts_path)
        self._pull_uplinks_url = URL(base + settings.pull_uplinks_path)
        self._success_codes = {"0", settings.success_code}
        self._http = HttpCaller(session)
        self._bodies = BodyWriter(settings)
        self._answers = AnswerReader(settings.success_code, INTERNATIONAL if settings.international else MAINLAND)
        self._callbacks = ChuangLanCallbacks(international=settings.international)

    async def submit(self, submission: Submission) -> Outcome:
        """Send one text to all recipients, or a variable one with the values of each."""
        try:
            if submission.variable:
                url, body = self._variable_url, self._bodies.send_variable(submission)
            else:
                url, body = self._send_url, self._bodies.send(submission)
        except UnsendableError:
            return Rejected("", "PARAMETER_UNSENDABLE")
        try:
            answer = await self._http.post(url, body)
        except CallFailedError as error:
            self._log_failure(error, submission.dispatch_id)
            return _outcome_of_failure(error)
        outcome = self._answers.read(answer, len(submission.recipients), counted=submission.variable)
        if not isinstance(outcome, Accepted):
            self._log_refusal(outcome, answer, submission.dispatch_id)
        return outcome

    async def pull_receipts(self) -> Pulled[Receipt]:
        """Take up to 100 receipts that were not pushed. What an answer lost on the way held is lost."""
        fields = await self._pull(self._pull_receipts_url)
        return _read_rows(fields, self._callbacks.parse_pulled_receipt)

    async def pull_uplinks(self) -> Pulled[Uplink]:
        """Take up to 100 uplinks that were not pushed. What an answer lost on the way held is lost."""
        fields = await self._pull(self._pull_uplinks_url)
        return _read_rows(fields, self._callbacks.parse_pulled_uplink)

    async def _pull(self, url: URL) -> Fields:
        """Take what waits. A pull says `ret`; where it is missing, `code`, as other calls say, is read."""
        try:
            answer = await self._http.post(url, self._bodies.pull(PULL_COUNT_MAX))
            if answer.status != HTTPStatus.OK:
                raise ProviderCallError("PROVIDER_REFUSED", f"HTTP_{answer.status}")
            fields = read_object(answer.body)
            code = read_text(fields, "ret" if "ret" in fields else "code", CODE_CHARACTERS_MAX)
        except CallFailedError as error:
            self._log_failure(error, dispatch_id=None)
            raise ProviderCallError(_reason_of_failure(error)) from error
        except UnreadableAnswerError as error:
            raise ProviderCallError("ANSWER_UNREADABLE") from error
        if code not in self._success_codes:
            raise ProviderCallError("PROVIDER_REFUSED", code)
        return fields

    def _log_failure(self, error: CallFailedError, dispatch_id: int | None) -> None:
        cause = str(error.__cause__ or "")[:_LOGGED_CHARACTERS_MAX]
        _log.warning("provider_call_failed", account=self._name, dispatch_id=dispatch_id, error=str(error), cause=cause)

    def _log_refusal(self, outcome: Outcome, answer: HttpAnswer, dispatch_id: int) -> None:
        """Keep the vendor's own words for support: they name the word or the limit in question."""
        try:
            words = str(read_object(answer.body).get("errorMsg", ""))[:_LOGGED_CHARACTERS_MAX]
        except UnreadableAnswerError as error:
            words = str(error)
        _log.info("provider_refused", account=self._name, dispatch_id=dispatch_id, outcome=repr(outcome), said=words)


def _reason_of_failure(error: CallFailedError) -> str:
    return "PROVIDER_UNREACHABLE" if isinstance(error, NotSentError) else "ANSWER_LOST"


def _outcome_of_failure(error: CallFailedError) -> Outcome:
    reason = _reason_of_failure(error)
    if isinstance(error, AnswerLostError):
        return Unknown(reason, trouble=Trouble.TRANSPORT)
    return RetryLater(BUSY_SECONDS, "", reason, Trouble.TRANSPORT)


def _read_rows(fields: Fields, parse: Callable[[Mapping[str, str]], ItemT]) -> Pulled[ItemT]:
    """Read every row that can be read: the provider has deleted them all."""
    rows = fields.get("result")
    if rows is None:
        rows = []
    if not isinstance(rows, list):
        raise ProviderCallError("ANSWER_UNREADABLE")
    items: list[ItemT] = []
    malformed: list[MalformedItem] = []
    for row in rows:
        texts = _as_texts(row)
        try:
            items.append(parse(texts))
        except MalformedCallbackError as error:
            malformed.append(MalformedItem(texts, error))
    return Pulled(items, malformed)


def _as_texts(row: object) -> dict[str, str]:
    """Write a row as a push would: texts, numbers written out, null left out; what is no object as one text."""
    if not isinstance(row, dict):
        return {"row": str(row)}
    return {str(name): str(value) for name, value in row.items() if value is not None}
