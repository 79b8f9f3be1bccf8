"""How the user service refuses: the reason, the field where there is one, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from mesh.errors import DomainError, FieldViolation


def name_taken() -> DomainError:
    return _taken("USER_NAME_TAKEN", "user_name", "another user has this name; choose another")


def mobile_taken() -> DomainError:
    return _taken("USER_MOBILE_TAKEN", "user_mobile", "another user has this mobile number; log in with it")


def key_reused(request_id: str) -> DomainError:
    message = f"request id {request_id} was used before with another body; what is new needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def password_weak(field: str, weaknesses: Sequence[str]) -> DomainError:
    violations = [FieldViolation(field, weakness) for weakness in weaknesses]
    message = f"{field}: " + "; ".join(weaknesses)
    return DomainError(grpc.StatusCode.INVALID_ARGUMENT, "PASSWORD_WEAK", message, violations=violations)


class LoginWrongError(DomainError):
    """The same for an unknown user and for a wrong password."""

    def __init__(self) -> None:
        message = "there is no user with this name and password; correct one of them"
        super().__init__(grpc.StatusCode.UNAUTHENTICATED, "LOGIN_WRONG", message)


def login_locked(wait_ms: int) -> DomainError:
    seconds = wait_ms / 1000
    message = f"too many attempts with this name, come again in {seconds:.0f} s"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return DomainError(code, "LOGIN_LOCKED", message, retry_after_seconds=seconds)


def token_invalid() -> DomainError:
    message = "this refresh token is over, was used before or was never given out; log in again"
    return DomainError(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", message)


def user_not_found(user_id: int) -> DomainError:
    """Say so of another brand's users too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND", f"no user {user_id}")


def _taken(reason: str, field: str, description: str) -> DomainError:
    violations = [FieldViolation(field, description)]
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, reason, f"{field}: {description}", violations=violations)
