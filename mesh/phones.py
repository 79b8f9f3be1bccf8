"""Phone numbers as callers write them, to E.164. Mobiles only."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat, PhoneNumberType

MAINLAND_REGION: Final = "CN"
MAINLAND_COUNTRY_CODE: Final = 86
PHONE_CHARACTERS_MAX: Final = 24

# Where mobile and fixed numbers share their ranges, as in North America, a number can be told only as either.
_MOBILE_TYPES: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})

# The library itself also takes letters, extensions and other scripts' digits, which no provider does.
_WRITTEN_PHONE: Final = re.compile(r"\+?\(?[0-9][0-9 ().-]*", re.ASCII)


class Phone(NamedTuple):
    """A mobile number. `e164` is `+` and 7 to 15 digits."""

    e164: str
    is_mainland: bool


def _compile_mainland() -> re.Pattern[str]:
    """Compile the mobile pattern of the library's own metadata, in the spellings without separators."""
    metadata = PhoneMetadata.metadata_for_region(MAINLAND_REGION)
    if metadata is None or metadata.mobile is None or metadata.mobile.national_number_pattern is None:
        message = "phonenumbers has no mobile pattern for mainland China"
        raise RuntimeError(message)
    return re.compile(rf"(?:(?:\+|00)?86)?({metadata.mobile.national_number_pattern})", re.ASCII)


_match_mainland = _compile_mainland().fullmatch


def normalise(written: str) -> Phone | None:
    """Read a mobile number; None if it is not a valid one.

    Taken are mainland numbers of 11 digits, with `86`, `+86` or `0086` before them, and any country's as
    `+<country code><number>` or `00<country code><number>`; spaces, dots, hyphens and parentheses may separate digits.

    A mainland number without separators takes under a microsecond; anything else asks phonenumbers, which takes some
    13 to 30 microseconds: a caller with very many of those gives way to the event loop in between.
    """
    mainland = _match_mainland(written)
    if mainland:
        return Phone("+86" + mainland[1], is_mainland=True)
    return normalise_by_library(written)


def normalise_by_library(written: str) -> Phone | None:
    """Do what `normalise` does by phonenumbers alone: the definition that the fast path has to agree with."""
    if len(written) > PHONE_CHARACTERS_MAX or not _WRITTEN_PHONE.fullmatch(written.strip(" ")):
        return None
    try:
        number = phonenumbers.parse(written, MAINLAND_REGION)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) not in _MOBILE_TYPES:
        return None
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return Phone(e164, is_mainland=number.country_code == MAINLAND_COUNTRY_CODE)
