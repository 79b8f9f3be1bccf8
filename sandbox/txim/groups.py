"""What kind of device an account is, told by the beginning of its nick."""

import re
from dataclasses import dataclass

from sandbox.txim.accounts import Account


@dataclass(frozen=True, slots=True)
class Group:
    """A kind of device: the name that stands in the page's addresses and styles, how nicks begin, the heading."""

    name: str
    nick_begins: str
    heading: str


GROUPS = (
    Group("kitchen", "kitchen", "Kitchens"),
    Group("call-screen", "call screen", "Call screens"),
    Group("cash-desk", "cash desk", "Cash desks"),
    Group("room-pad", "room pad", "Room pads"),
    Group("technician", "technician", "Technicians"),
    Group("service-desk", "service desk", "Service desks"),
)
OTHER = Group("other", "", "Others")


def group_of(account: Account) -> Group:
    """Return the group of an account, `OTHER` when its nick tells none."""
    nick = account.nick.strip().lower()
    for group in GROUPS:
        rest = nick.removeprefix(group.nick_begins)
        if rest != nick and not rest[:1].isalnum():
            return group
    return OTHER


def title_of(account: Account) -> str:
    """Return what tells a device from the others of its group: the rest of its nick, or all that is known."""
    nick = account.nick.strip()
    rest = nick[len(group_of(account).nick_begins) :].strip(" :-")
    return re.sub(r"^of\s+", "", rest, flags=re.IGNORECASE) or nick or account.user_id


def sort_key(account: Account) -> str:
    """Return a text that sorts the devices of a group as people do: 9 before 10."""
    padded = re.sub(r"[0-9]+", lambda digits: digits.group().zfill(12), title_of(account).lower())
    return f"{padded} {account.user_id}"
