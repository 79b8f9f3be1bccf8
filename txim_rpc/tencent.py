"""One call of Tencent Cloud IM's REST API: its turn, its signature, its circuit, and what is learnt from its failure.

POST {url}/v4/{command}?sdkappid&identifier&usersig&random&contenttype=json. The UserSig is as good as a password and
stands in the address: what a transport error says about an address is not passed on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from yarl import URL

from mesh import telemetry
from mesh.provider.circuit import Circuit, Trouble
from mesh.provider.http_call import CallFailedError, HttpAnswer, HttpCaller, NotSentError
from mesh.provider.rate_limit import ThrottledError
from mesh.provider.window_limit import Lane
from txim_rpc import metrics
from txim_rpc.answers import Fields, UnreadableAnswerError, read_answer, read_words
from txim_rpc.domain import (
    ANSWER_LOST,
    ANSWER_UNREADABLE,
    FAILURES,
    STOPPED_SECONDS,
    UNREACHABLE,
    Command,
    Failure,
    ImCallError,
    Policy,
    circuit_open,
    rate_limited,
)
from txim_rpc.user_sig import UserSigs

Answered = TypeVar("Answered")

MakeBody = Callable[[], bytes]
"""Makes the body when the call leaves: a part of it is the time that is left. Raises ImCallError if none is."""

_WORDS_CHARACTERS_MAX: Final = 200

_log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class App:
    """Which app calls, and where."""

    url: str
    sdk_app_id: int
    identifier: str

    def address(self, command: Command, user_sig: str) -> URL:
        """Where a command is called. `random` is of the call, not of the message."""
        query = {
            "sdkappid": str(self.sdk_app_id),
            "identifier": self.identifier,
            "usersig": user_sig,
            "random": str(secrets.randbits(32)),
            "contenttype": "json",
        }
        return URL(f"{self.url.rstrip('/')}/v4/{command.value}").with_query(query)


@dataclass(frozen=True, slots=True)
class _Call(Generic[Answered]):
    command: Command
    make_body: MakeBody
    read: Callable[[Fields], Answered]
    amounts: tuple[int, ...]
    user_sig: str = field(repr=False)
    is_renewed: bool = False


class Tencent:
    """Makes calls. A lane for each command gives their turns."""

    def __init__(
        self, app: App, http: HttpCaller, user_sigs: UserSigs, lanes: Mapping[Command, Lane], circuit: Circuit
    ) -> None:
        self._app = app
        self._http = http
        self._user_sigs = user_sigs
        self._lanes = lanes
        self._circuit = circuit

    async def call(
        self, command: Command, make_body: MakeBody, read: Callable[[Fields], Answered], *amounts: int
    ) -> Answered:
        """Make one call, and another one if its UserSig was refused; answer what `read` reads of a success.

        `amounts` are what it takes of the command's windows. `read` raises UnreadableAnswerError for what is not as
        documented. Raises ImCallError.
        """
        user_sig = self._user_sigs.current()
        try:
            return await self._attempt(_Call(command, make_body, read, amounts, user_sig))
        except ImCallError as error:
            if error.failure.policy is not Policy.RE_SIGN:
                raise
            _log.warning("txim_user_sig_refused", command=command.label, error_code=error.failure.error_code)
        renewed = self._user_sigs.renew(user_sig)
        return await self._attempt(_Call(command, make_body, read, amounts, renewed, is_renewed=True))

    async def _attempt(self, call: _Call[Answered]) -> Answered:
        started = time.perf_counter()
        try:
            answered = await self._in_turn(call)
        except ImCallError as error:
            metrics.record_call(call.command, error.failure.policy, time.perf_counter() - started)
            raise
        metrics.record_call(call.command, None, time.perf_counter() - started)
        return answered

    async def _in_turn(self, call: _Call[Answered]) -> Answered:
        if not self._circuit.permits():
            raise ImCallError(circuit_open(self._circuit.retry_after_seconds))
        try:
            async with self._lanes[call.command].admit(*call.amounts):
                return await self._through_circuit(call, call.make_body())
        except ThrottledError as error:
            raise ImCallError(rate_limited(error.retry_after_seconds)) from None

    async def _through_circuit(self, call: _Call[Answered], body: bytes) -> Answered:
        passage = self._circuit.enter()
        if passage is None:
            raise ImCallError(circuit_open(self._circuit.retry_after_seconds))
        trouble: Trouble | None = None
        reason = ""
        try:
            answered = await self._exchange(call, body)
            trouble = Trouble.NONE
        except ImCallError as error:
            trouble, reason = _trouble_of(error.failure), error.failure.reason
            raise
        finally:
            self._circuit.leave(passage, trouble, reason)
        return answered

    async def _exchange(self, call: _Call[Answered], body: bytes) -> Answered:
        try:
            answer = await self._http.post(self._app.address(call.command, call.user_sig), body)
        except CallFailedError as error:
            _log_transport(call, error)
            # Without its cause, which may name the address.
            raise ImCallError(UNREACHABLE if isinstance(error, NotSentError) else ANSWER_LOST) from None
        try:
            return call.read(read_answer(answer))
        except UnreadableAnswerError as error:
            _log.warning("txim_answer_unreadable", command=call.command.label, error=str(error))
            raise ImCallError(ANSWER_UNREADABLE) from None
        except ImCallError as error:
            is_hopeless = call.is_renewed and error.failure.policy is Policy.RE_SIGN
            failure = _stopping(error.failure) if is_hopeless else error.failure
            _log_refusal(call, failure, answer)
            raise ImCallError(failure, error.account_failures) from None


def _stopping(failure: Failure) -> Failure:
    """Two UserSigs are refused: it is the key, the app or this machine's clock that is wrong."""
    return replace(failure, policy=Policy.STOP, after_seconds=STOPPED_SECONDS, is_of_app=True)


def _trouble_of(failure: Failure) -> Trouble | None:
    if failure.is_of_app:
        return Trouble.ACCOUNT
    if failure.policy is Policy.UNKNOWN or failure is UNREACHABLE:
        return Trouble.TRANSPORT
    # What becomes of a call with a new UserSig tells, not this one.
    return None if failure.policy is Policy.RE_SIGN else Trouble.NONE


def _log_transport(call: _Call[Answered], error: CallFailedError) -> None:
    """Say what the operating system said. Texts of other errors hold the address, and that the UserSig."""
    cause = error.__cause__
    said = cause.strerror if isinstance(cause, OSError) else ""
    _log.warning("txim_call_failed", command=call.command.label, error=str(error), cause=said or "")


def _log_refusal(call: _Call[Answered], failure: Failure, answer: HttpAnswer) -> None:
    """Keep Tencent's own words for whoever has to act."""
    details = {
        "command": call.command.label,
        "reason": failure.reason,
        "error_code": failure.error_code,
        "http_status": answer.status,
        "said": read_words(answer.body).replace(call.user_sig, "...")[:_WORDS_CHARACTERS_MAX],
    }
    if failure.policy is Policy.STOP:
        _log.error("txim_stopped", **details)
    elif failure.error_code and failure.error_code not in FAILURES:
        _log.warning("txim_code_unlisted", **details)
    else:
        _log.info("txim_refused", **details)
