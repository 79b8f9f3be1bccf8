"""What a send has to fulfil before anything is stored or frozen, and what becomes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mesh.control_characters import has_control_character
from mesh.errors import VIOLATIONS_MAX, DomainError, FieldViolation, invalid_request
from mesh.phones import Phone, normalise
from mesh.slices import in_slices
from sms_rpc.domain import CHUNK_MAX, SCHEDULE_SECONDS_MAX, SmsMode, SmsType
from sms_rpc.segments import count_international, count_mainland
from sms_rpc.template import PLACE, TEXT_CHARACTERS_MAX, Template, TemplateError


@dataclass(frozen=True, slots=True)
class SendRequest:
    """A send as it was asked for. `params` has one list a phone in a variable send, and is empty in any other."""

    brand_id: int
    request_id: str
    sms_type: SmsType
    content: str
    signature: str
    phones: Sequence[str]
    params: Sequence[Sequence[str]]
    variable: bool
    schedule_at_ms: int

    def body_hash(self) -> str:
        """Tell two requests with the same id apart. 128 bits."""
        digest = hashlib.blake2b(digest_size=16)
        head = (self.sms_type.value, self.content, self.signature, self.variable, self.schedule_at_ms)
        digest.update(repr(head).encode())
        digest.update("\n".join(self.phones).encode())
        for values in self.params:
            digest.update(repr(tuple(values)).encode())
        return digest.hexdigest()


class Recipient(NamedTuple):
    """One message to be. A tuple, because there are 100,000 of them."""

    phone: str
    params: tuple[str, ...]
    segments: int
    is_mainland: bool


@dataclass(frozen=True, slots=True)
class PreparedSend:
    """A send that is in order. Mainland recipients come first, because no provider account carries both kinds."""

    request: SendRequest
    body_hash: str
    recipients: Sequence[Recipient]

    @property
    def mode(self) -> SmsMode:
        """One recipient goes through the single queue, more through the batch queue."""
        return SmsMode.SINGLE if len(self.recipients) == 1 else SmsMode.BATCH

    def chunk_sizes(self) -> list[int]:
        """Cut the recipients into provider calls: at most 1,000 each, of one kind each."""
        mainland = sum(recipient.is_mainland for recipient in self.recipients)
        sizes = []
        for count in (mainland, len(self.recipients) - mainland):
            sizes += [CHUNK_MAX] * (count // CHUNK_MAX) + [count % CHUNK_MAX] * (count % CHUNK_MAX > 0)
        return sizes


async def prepare(request: SendRequest, body_hash: str, *, international: bool, now_ms: int) -> PreparedSend:
    """Check a send and count its segments. Raises INVALID_REQUEST, naming each field that is wrong."""
    violations = [*_content_violations(request), *_schedule_violations(request.schedule_at_ms, now_ms)]
    template, text = None, f"【{request.signature}】{request.content}"
    if request.variable:
        try:
            template = Template.parse(text)
        except TemplateError as error:
            violations.append(FieldViolation("content", error.message))
    if violations:
        raise invalid_request(*violations)
    phones = await _read_phones(request, international=international)
    recipients = await _count_segments(request, phones, template, text)
    recipients.sort(key=lambda recipient: not recipient.is_mainland)
    return PreparedSend(request, body_hash, recipients)


def _content_violations(request: SendRequest) -> list[FieldViolation]:
    violations = []
    for name, value in (("content", request.content), ("signature", request.signature)):
        if not value.strip():
            violations.append(FieldViolation(name, "is blank"))
        if has_control_character(value):
            violations.append(FieldViolation(name, "has a control character"))
    if not request.variable and len(request.content) + len(request.signature) + len("【】") > TEXT_CHARACTERS_MAX:
        problem = f"has at most {TEXT_CHARACTERS_MAX} characters together with the signature and its brackets"
        violations.append(FieldViolation("content", problem))
    if any(bracket in request.signature for bracket in "【】"):
        violations.append(FieldViolation("signature", "is given without its brackets"))
    if request.variable and PLACE in request.signature:
        violations.append(FieldViolation("signature", f"has a {PLACE}: only the content may have one"))
    return violations


def _schedule_violations(schedule_at_ms: int, now_ms: int) -> list[FieldViolation]:
    if schedule_at_ms and schedule_at_ms <= now_ms:
        return [FieldViolation("schedule_time", "is in the past; leave it out to send now")]
    if schedule_at_ms > now_ms + SCHEDULE_SECONDS_MAX * 1000:
        return [FieldViolation("schedule_time", f"is more than {SCHEDULE_SECONDS_MAX // 86_400} days ahead")]
    return []


async def _read_phones(request: SendRequest, *, international: bool) -> list[Phone]:
    phones: list[Phone] = []
    first_at: dict[str, int] = {}
    violations: list[FieldViolation] = []
    async for slice_ in in_slices(range(len(request.phones))):
        for position in slice_:
            phone = normalise(request.phones[position])
            problem = _phone_problem(request, phone, first_at, international=international)
            if phone is None or problem:
                violations.append(FieldViolation(_phone_field(request, position), problem))
                if len(violations) == VIOLATIONS_MAX:
                    raise invalid_request(*violations)
                continue
            first_at[phone.e164] = position
            phones.append(phone)
    if violations:
        raise invalid_request(*violations)
    return phones


def _phone_problem(request: SendRequest, phone: Phone | None, first_at: dict[str, int], *, international: bool) -> str:
    if phone is None:
        return "is not a valid mobile number: 11 digits for mainland China, or E.164"
    if phone.e164 in first_at:
        return f"is the same phone as {_phone_field(request, first_at[phone.e164])}"
    if not phone.is_mainland and not international:
        return f"is outside mainland China, where brand {request.brand_id} may not send"
    return ""


def _phone_field(request: SendRequest, position: int) -> str:
    return f"recipients[{position}].phone" if request.variable else f"phones[{position}]"


async def _count_segments(
    request: SendRequest, phones: Sequence[Phone], template: Template | None, text: str
) -> list[Recipient]:
    if template is not None:
        return await _count_filled(request, phones, template)
    recipients: list[Recipient] = []
    mainland, international = count_mainland(text), count_international(text)
    async for slice_ in in_slices(phones):
        recipients += [
            Recipient(phone.e164, (), mainland if phone.is_mainland else international, phone.is_mainland)
            for phone in slice_
        ]
    return recipients


async def _count_filled(request: SendRequest, phones: Sequence[Phone], template: Template) -> list[Recipient]:
    recipients: list[Recipient] = []
    violations: list[FieldViolation] = []
    async for slice_ in in_slices(range(len(phones))):
        for position in slice_:
            phone, values = phones[position], request.params[position]
            try:
                filled = template.render(values)
            except TemplateError as error:
                violations.append(FieldViolation(_value_field(position, error), error.message))
                if len(violations) == VIOLATIONS_MAX:
                    raise invalid_request(*violations) from None
                continue
            count = count_mainland if phone.is_mainland else count_international
            recipients.append(Recipient(phone.e164, tuple(values), count(filled), phone.is_mainland))
    if violations:
        raise invalid_request(*violations)
    return recipients


def _value_field(position: int, error: TemplateError) -> str:
    field = f"recipients[{position}].params"
    return field if error.value_index is None else f"{field}[{error.value_index}]"


def refused_phone(written: str) -> DomainError:
    """Say that the one phone of a request is not valid."""
    return invalid_request(FieldViolation("phone", f"{written!r} is not a valid mobile number"))
