"""Reading the accounts of im_open_login_svc's calls; `Identifier` and `Accounts` are their older names."""

from sandbox.json_http import JsonObject
from sandbox.txim.codes import Code, RefusalError

ACCOUNTS_MAX = 100


def read_account(fields: JsonObject) -> tuple[str, str]:
    """Read UserID and Nick ("" for none); refused with 70402."""
    user_id = fields.get("UserID", fields.get("Identifier"))
    if not isinstance(user_id, str) or not user_id:
        raise RefusalError(Code.PARAMETER, "UserID must be a string")
    for name in ("Nick", "FaceUrl"):
        if not isinstance(fields.get(name, ""), str):
            raise RefusalError(Code.PARAMETER, f"{name} must be a string")
    return user_id, str(fields.get("Nick", ""))


def read_account_list(body: JsonObject) -> list[tuple[str, str]]:
    """Read AccountList: UserID and Nick of at most 100 accounts; refused with 70402."""
    if "Accounts" in body and "AccountList" not in body:
        return [read_account({"UserID": each}) for each in _read_list(body, "Accounts")]
    return [read_account(_require_object(each, "AccountList")) for each in _read_list(body, "AccountList")]


def read_check_items(body: JsonObject) -> list[str]:
    """Read CheckItem: at most 100 UserIDs; refused with 70402."""
    return [read_account(_require_object(each, "CheckItem"))[0] for each in _read_list(body, "CheckItem")]


def first_account(body: JsonObject) -> str:
    """Return the first account that a call names, whatever the call; "" when there is none."""
    for name in ("To_Account", "UserID", "Identifier", "AccountList", "Accounts", "CheckItem"):
        value = body.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, dict):
            value = value.get("UserID", value.get("Identifier"))
        if isinstance(value, str):
            return value
    return ""


def _read_list(body: JsonObject, name: str) -> list[object]:
    values = body.get(name)
    if not isinstance(values, list) or not 0 < len(values) <= ACCOUNTS_MAX:
        raise RefusalError(Code.PARAMETER, f"{name} must be an array of 1 to {ACCOUNTS_MAX}")
    return values


def _require_object(value: object, name: str) -> JsonObject:
    if not isinstance(value, dict):
        raise RefusalError(Code.PARAMETER, f"{name} must hold objects")
    return value
