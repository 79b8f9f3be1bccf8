from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.bus.id_messages import IDS_PER_MESSAGE, publish_ids, read_ids
from mesh.bus.memory import MemoryBus


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3 * IDS_PER_MESSAGE))
async def test_what_was_published_is_read_in_order_in_messages_of_bounded_size(ids: list[int]) -> None:
    bus = MemoryBus()
    await publish_ids(bus, "q", ids)
    parts = [read_ids(delivery.body) for delivery in await bus.receive("q", 100, 30)]
    assert [one for part in parts for one in part] == ids
    assert all(0 < len(part) <= IDS_PER_MESSAGE for part in parts)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b"{}", b'{"ids": 1}', b'{"ids": ["1"]}', b'{"ids": [true]}'])
def test_any_other_body_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the type is the contract, the words are for the log
        read_ids(body)
