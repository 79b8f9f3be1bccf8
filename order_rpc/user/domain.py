"""The words of the user service, what names and passwords may be, and how long a guesser has to wait."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

NAME_KEY_CHARACTERS_MAX = 128
NAME_CHARACTERS_MIN = 2
_NAME_CATEGORIES = ("L", "M", "Nd")
_NAME_SIGNS = "_.-"

PASSWORD_CHARACTERS_MIN = 8
_DIFFERENT_CHARACTERS_MIN = 5

SESSIONS_MAX = 20
"""Sessions of one user. Another one ends the oldest."""

FREE_ATTEMPTS = 10
"""Failed attempts in a row before the next has to wait."""

_FIRST_LOCK_MS = 30_000
_LOCK_MS_MAX = 900_000
ATTEMPTS_KEPT_MS = 3_600_000
"""How long failed attempts count after the last of them and its wait."""

_COMMON_PASSWORDS = """
12345678 123456789 1234567890 11111111 00000000 88888888 66666666 12341234 11223344 87654321 98765432 147258369
123123123 987654321 1q2w3e4r 1q2w3e4r5t 1qaz2wsx qwertyui qwertyuiop asdfghjk asdfghjkl zxcvbnm123 qwerty123
qazwsxedc password password1 password12 password123 passw0rd p@ssw0rd p@ssword abc12345 abcd1234 a1234567 a12345678
a123456789 aa123456 aa12345678 woaini1314 5201314520 1314520520 iloveyou iloveyou1 sunshine princess football
baseball superman starwars trustno1 letmein1 welcome1 admin123 administrator changeme computer internet 123qweasd
q1w2e3r4 zaq12wsx qwer1234 asdf1234 test1234 dragon123 monkey123
"""
COMMON_PASSWORDS = frozenset(_COMMON_PASSWORDS.split())
"""What guessers try first, in lower case."""


@dataclass(frozen=True, slots=True)
class User:
    """An account. `user_password` is the hash; `user_name_key` is what makes a name the same as another."""

    user_id: int
    brand_id: int
    request_id: str
    user_name: str
    user_name_key: str
    user_password: str
    user_mobile: str | None
    user_score: int
    user_reg_time_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """A session while it stands. Of its refresh token only hashes are kept.

    `secret_sha256` is of the part that all tokens of the session have, `token_sha256` of the part that only the latest
    has. So a token with the first and without the second is one that was used up.
    """

    session_id: int
    brand_id: int
    user_id: int
    secret_sha256: str
    token_sha256: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed attempts to log in in a row."""

    failed_count: int
    locked_until_ms: int
    kept_until_ms: int


def normal_name(name: str) -> str:
    """Write a name so that what looks the same is the same."""
    return unicodedata.normalize("NFKC", name)


def name_key(name: str) -> str:
    """Answer what a name is compared by: two names with one key are one name."""
    return unicodedata.normalize("NFKC", normal_name(name).casefold())


def refuse_name(name: str) -> str | None:
    """Say what is wrong with a name that `normal_name` wrote."""
    if len(name) < NAME_CHARACTERS_MIN or len(name_key(name)) > NAME_KEY_CHARACTERS_MAX:
        return f"has less than {NAME_CHARACTERS_MIN} characters, or far more than it seems to"
    if not all(one in _NAME_SIGNS or unicodedata.category(one).startswith(_NAME_CATEGORIES) for one in name):
        return 'may hold letters, digits, "_", "." and "-"'
    if not any(one.isalnum() for one in name):
        return "needs a letter or a digit"
    return None


def normal_password(password: str) -> str:
    """Write a password so that all keyboards write it alike."""
    return unicodedata.normalize("NFC", password)


def refuse_password(password: str, *, names: tuple[str, ...]) -> list[str]:
    """Say everything that is wrong with a password that `normal_password` wrote; `names` are its user's own."""
    return list(_weaknesses(password, password.casefold(), [name.casefold() for name in names if name]))


def _weaknesses(password: str, folded: str, names: list[str]) -> Iterator[str]:
    if len(password) < PASSWORD_CHARACTERS_MIN:
        yield f"has less than {PASSWORD_CHARACTERS_MIN} characters"
    if len(set(folded)) < _DIFFERENT_CHARACTERS_MIN:
        yield f"has less than {_DIFFERENT_CHARACTERS_MIN} different characters"
    if folded in COMMON_PASSWORDS:
        yield "is one of the first that guessers try"
    elif _is_run(folded):
        yield "is a run of characters in their order"
    if any(name in folded or folded in name for name in names):
        yield "holds the user's name or mobile number"


def _is_run(text: str) -> bool:
    steps = {ord(following) - ord(one) for one, following in pairwise(text)}
    return steps in ({1}, {-1})


def after_attempt(attempts: Attempts | None, now_ms: int) -> Attempts:
    """Count one more failed attempt. From FREE_ATTEMPTS on each doubles the wait, within bounds."""
    counts = attempts is not None and attempts.kept_until_ms > now_ms
    failed_count = (attempts.failed_count if attempts and counts else 0) + 1
    locked_until_ms = now_ms + _lock_ms(failed_count)
    return Attempts(failed_count, locked_until_ms, locked_until_ms + ATTEMPTS_KEPT_MS)


def _lock_ms(failed_count: int) -> int:
    if failed_count < FREE_ATTEMPTS:
        return 0
    doublings = min(failed_count - FREE_ATTEMPTS, 10)
    return min(_FIRST_LOCK_MS << doublings, _LOCK_MS_MAX)
