from collections.abc import AsyncIterator

import pytest_asyncio

from tests.sandbox.harness import Customer, Sandbox, quick_settings, running_customer, running_sandbox


@pytest_asyncio.fixture
async def customer() -> AsyncIterator[Customer]:
    async with running_customer() as running:
        yield running


@pytest_asyncio.fixture
async def sandbox(customer: Customer) -> AsyncIterator[Sandbox]:
    """A sandbox with short times that pushes to the customer."""
    async with running_sandbox(quick_settings()) as running:
        await running.push_to(customer)
        yield running
