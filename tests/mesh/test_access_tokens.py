import time

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from mesh.access_tokens import AccessTokens, TokenExpiredError, TokenInvalidError, TokenKeys, UserToken, parse_keys

OLD, NEW = "old:" + "o" * 43, "new:" + "n" * 43


def issue(keys: str, seconds: float = 60) -> str:
    return AccessTokens(SecretStr(keys)).issue(1001, "7", expires_at_ms=int((time.time() + seconds) * 1000))


def test_a_token_says_whom_it_stands_for_and_each_has_a_name_of_its_own() -> None:
    tokens = AccessTokens(SecretStr(NEW))
    first, second = tokens.read(issue(NEW)), tokens.read(issue(NEW))
    assert first == UserToken(1001, "7", first.token_id)
    assert first.token_id != second.token_id


def test_the_first_key_signs_and_all_verify() -> None:
    assert AccessTokens(SecretStr(f"{OLD},{NEW}")).read(issue(f"{NEW},{OLD}"))
    assert AccessTokens(SecretStr(NEW)).read(issue(f"{NEW},{OLD}"))
    with pytest.raises(TokenInvalidError):
        AccessTokens(SecretStr(OLD)).read(issue(f"{NEW},{OLD}"))


def test_a_key_is_found_by_its_id_and_not_by_trying() -> None:
    with pytest.raises(TokenInvalidError):
        AccessTokens(SecretStr("other:" + "n" * 43)).read(issue(NEW))


def test_an_overdue_token_is_told_from_a_wrong_one() -> None:
    with pytest.raises(TokenExpiredError):
        AccessTokens(SecretStr(NEW)).read(issue(NEW, seconds=-2))
    with pytest.raises(TokenInvalidError):
        AccessTokens(SecretStr("new:" + "x" * 43)).read(issue(NEW, seconds=-2))


def test_without_keys_nothing_is_read_or_signed() -> None:
    with pytest.raises(TokenInvalidError):
        AccessTokens(SecretStr("")).read(issue(NEW))
    with pytest.raises(ValueError, match="no key to sign with"):
        issue("")


@pytest.mark.parametrize(
    "text", ["secret-alone", "id:short", f"{NEW},{NEW}", f"UPPER:{'n' * 43}", f"{NEW},id:", f"a:{'ü' * 43}"]
)
def test_bad_keys_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"write id:secret|at most 8 keys") as refusal:
        parse_keys(text)
    assert text not in str(refusal.value)
    with pytest.raises(ValidationError, match=r"write id:secret|at most 8 keys"):
        TypeAdapter(TokenKeys).validate_python(text)


def test_keys_are_read_in_their_order() -> None:
    assert list(parse_keys(f" {OLD} , {NEW} ")) == ["old", "new"]
    with pytest.raises(ValueError, match="at most 8"):
        parse_keys(",".join(f"{number}:{'n' * 43}" for number in range(9)))
