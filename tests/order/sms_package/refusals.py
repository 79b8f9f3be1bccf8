"""Expecting to be refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from mesh.errors import DomainError


@contextmanager
def refused(reason: str, code: grpc.StatusCode) -> Iterator[pytest.ExceptionInfo[DomainError]]:
    """Expect a refusal with this reason and this status."""
    with pytest.raises(DomainError) as refusal:
        yield refusal
    assert (refusal.value.reason, refusal.value.code) == (reason, code)


async def reason_of(act: Callable[[], Awaitable[object]]) -> str:
    """Do something and say why it was refused; empty if it was not."""
    try:
        await act()
    except DomainError as error:
        return error.reason
    return ""
