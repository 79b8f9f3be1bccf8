"""API accounts: who may call, and what is left to spend."""

from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.chuanglan.codes import Code, RefusalError
from sandbox.chuanglan.parameters import Parameters
from sandbox.settings import ChuangLanAccount


@dataclass(slots=True)
class Account:
    """An account and its balance in billed segments."""

    name: str
    password: str
    balance: int

    def charge(self, segments: int) -> None:
        """Take the segments off the balance; refused with 109, nothing taken, when it holds fewer."""
        if segments > self.balance:
            raise RefusalError(Code.NO_CREDIT)
        self.balance -= segments


class AccountBook:
    """The accounts of the sandbox."""

    def __init__(self, accounts: Iterable[ChuangLanAccount]) -> None:
        """Take the accounts of the settings."""
        self._accounts = {
            each.account: Account(each.account, each.password.get_secret_value(), each.balance) for each in accounts
        }

    @property
    def names(self) -> list[str]:
        """The accounts' names, in the order of the settings."""
        return list(self._accounts)

    def balances(self) -> dict[str, int]:
        """The balance of each account, in billed segments."""
        return {account.name: account.balance for account in self._accounts.values()}

    def authenticate(self, parameters: Parameters) -> Account:
        """Find the caller: 130 without account or password, 101 for an unknown one, 102 for a wrong password."""
        name, password = parameters.required("account"), parameters.required("password")
        account = self._accounts.get(name)
        if account is None:
            raise RefusalError(Code.UNKNOWN_ACCOUNT)
        if account.password != password:
            raise RefusalError(Code.WRONG_PASSWORD)
        return account
