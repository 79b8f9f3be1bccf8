"""The accounts that were imported, and whether a device is logged in to them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sandbox.json_http import JsonObject
from sandbox.txim.codes import Code, RefusalError

USER_ID_BYTES_MAX = 32


class OnlineState(StrEnum):
    """Whether a device is logged in."""

    ONLINE = "Online"
    PUSH_ONLINE = "PushOnline"
    OFFLINE = "Offline"


@dataclass(slots=True)
class Account:
    """One account. `newest` is the sequence of the last message delivered to it, 0 for none."""

    user_id: str
    nick: str
    state: OnlineState
    imported_at_ms: int
    newest: int = 0

    def describe(self) -> JsonObject:
        """Return the account as GET /admin/txim/accounts shows it."""
        return {
            "account": self.user_id,
            "nick": self.nick,
            "state": self.state,
            "imported_at_ms": self.imported_at_ms,
            "newest_sequence": self.newest,
        }


class AccountBook:
    """The accounts, in the order in which they were imported."""

    def __init__(self, capacity: int, imported_state: OnlineState) -> None:
        """Bound the accounts, and choose the state of one that was just imported."""
        self._capacity = capacity
        self._imported_state = imported_state
        self._accounts: dict[str, Account] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._accounts)

    def __iter__(self) -> Iterator[Account]:
        """Go through all of them."""
        return iter(self._accounts.values())

    def find(self, user_id: str) -> Account | None:
        """Return the account, or None when it is not imported."""
        return self._accounts.get(user_id)

    def put(self, user_id: str, nick: str, at_ms: int) -> Account:
        """Import an account, or give a known one another nick ("" leaves it); refused with 70402 or 70398."""
        if not is_user_id(user_id):
            raise RefusalError(Code.PARAMETER, "UserID must be 1 to 32 printable ASCII characters")
        account = self._accounts.get(user_id)
        if account is None:
            if len(self._accounts) >= self._capacity:
                raise RefusalError(Code.TOO_MANY_ACCOUNTS)
            account = self._accounts[user_id] = Account(user_id, "", self._imported_state, at_ms)
        account.nick = nick or account.nick
        return account

    def forget(self, user_ids: Iterable[str]) -> int:
        """Make accounts unknown again; return how many of them were known."""
        return sum(self._accounts.pop(user_id, None) is not None for user_id in user_ids)


def is_user_id(user_id: str) -> bool:
    """Whether Tencent takes this as a UserID."""
    return 0 < len(user_id) <= USER_ID_BYTES_MAX and user_id.isascii() and user_id.isprintable()
