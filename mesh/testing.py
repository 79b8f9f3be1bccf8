"""What tests of every part need."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

Value = TypeVar("Value")


@overload
async def eventually(
    check: Callable[[], Awaitable[Value | None]], timeout_seconds: float = ..., every_seconds: float = ...
) -> Value: ...
@overload
async def eventually(
    check: Callable[[], Value | None], timeout_seconds: float = ..., every_seconds: float = ...
) -> Value: ...
async def eventually(
    check: Callable[[], Value | Awaitable[Value | None] | None],
    timeout_seconds: float = 10.0,
    every_seconds: float = 0.02,
) -> Value:
    """Call `check` until it answers something true, and answer that.

    A check that still raises `AssertionError` or answers something false at the deadline fails the test, with its last
    word as the message. Any other exception fails it at once.
    """
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        try:
            answer = check()
            value = await answer if inspect.isawaitable(answer) else answer
            last: object = repr(value)
        except AssertionError as error:
            value, last = None, error
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"still not so after {timeout_seconds:g} s: {last}")
        await asyncio.sleep(every_seconds)
