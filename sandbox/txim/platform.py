"""What Tencent Cloud IM does once a call has come through the gate."""

from dataclasses import dataclass

from sandbox.clock import now_ms
from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject
from sandbox.txim.accounts import Account, AccountBook, OnlineState
from sandbox.txim.codes import Code, RefusalError
from sandbox.txim.faults import FailRecipient, ForgetAccount
from sandbox.txim.feed import Change, Feed
from sandbox.txim.imports import read_account, read_account_list, read_check_items
from sandbox.txim.journal import Journal
from sandbox.txim.limits import Limits
from sandbox.txim.messages import Content, read_content, read_recipient, read_recipients
from sandbox.txim.repeats import RepeatMemory

RECIPIENTS_MAX = 500


@dataclass(slots=True)
class Platform:
    """The accounts and their messages. Each call is given its body and returns the fields of an answer of success."""

    administrator: str
    online_state_field: str
    accounts: AccountBook
    journal: Journal
    repeats: RepeatMemory
    limits: Limits
    feed: Feed
    board: FaultBoard
    duplicates_dropped: int = 0

    def send(self, body: JsonObject) -> JsonObject:
        """Carry out openim/sendmsg: one message to one account."""
        received_at_ms = now_ms()
        content = read_content("sendmsg", body, self.administrator, received_at_ms)
        recipient = read_recipient(body)
        self._require_sender(content)
        if code := self._deliver("sendmsg", recipient, content, received_at_ms):
            raise RefusalError(Code.RECIPIENT_UNKNOWN if code == Code.ACCOUNT_UNKNOWN else code)
        return {"MsgTime": content.second, "MsgKey": content.msg_key}

    def send_batch(self, body: JsonObject) -> JsonObject:
        """Carry out openim/batchsendmsg: it fails only when it fails for every account."""
        received_at_ms = now_ms()
        content = read_content("batchsendmsg", body, self.administrator, received_at_ms)
        recipients = read_recipients(body, RECIPIENTS_MAX)
        self._require_sender(content)
        self.limits.admit_recipients(len(recipients))
        codes = {each: self._deliver("batchsendmsg", each, content, received_at_ms) for each in recipients}
        errors = [{"To_Account": account, "ErrorCode": code} for account, code in codes.items() if code]
        if not errors:
            return {"MsgKey": content.msg_key}
        if len(errors) < len(codes):
            return {"MsgKey": content.msg_key, "ErrorList": errors}
        raise RefusalError(next(iter(codes.values())), fields={"ErrorList": errors})

    def import_account(self, body: JsonObject) -> JsonObject:
        """Carry out im_open_login_svc/account_import; importing again changes the nick."""
        user_id, nick = read_account(body)
        self.put_account(user_id, nick)
        return {}

    def import_accounts(self, body: JsonObject) -> JsonObject:
        """Carry out im_open_login_svc/multiaccount_import."""
        failed: list[str] = []
        for user_id, nick in read_account_list(body):
            try:
                self.put_account(user_id, nick)
            except RefusalError:
                failed.append(user_id)
        return {"FailAccounts": failed}

    def check_accounts(self, body: JsonObject) -> JsonObject:
        """Carry out im_open_login_svc/account_check."""
        return {"ResultItem": [self._check(user_id) for user_id in read_check_items(body)]}

    def query_online_status(self, body: JsonObject) -> JsonObject:
        """Carry out openim/query_online_status."""
        states: list[JsonObject] = []
        errors: list[JsonObject] = []
        for user_id in read_recipients(body, RECIPIENTS_MAX):
            account = self._find("query_online_status", user_id)
            if account is None:
                errors.append({"To_Account": user_id, "ErrorCode": int(Code.ACCOUNT_UNKNOWN)})
            else:
                states.append({"To_Account": user_id, self.online_state_field: account.state})
        return {"QueryResult": states, **({"ErrorList": errors} if errors else {})}

    def put_account(self, user_id: str, nick: str, state: OnlineState | None = None) -> Account:
        """Import an account or change it, and show it; None leaves its state."""
        account = self.accounts.put(user_id, nick, now_ms())
        account.state = state or account.state
        self.feed.publish(Change(user_id))
        return account

    def stats(self) -> JsonObject:
        """Return the counts of everything but the calls."""
        return {
            "accounts": len(self.accounts),
            "delivered": self.journal.newest,
            "duplicates_dropped": self.duplicates_dropped,
            "repeats_forgotten": self.repeats.forgotten,
            "pages_open": len(self.feed),
            "pages_dropped": self.feed.overruns,
            **self.limits.stats(),
        }

    def _deliver(self, command: str, user_id: str, content: Content, received_at_ms: int) -> int:
        """Deliver to one account, unless it has the message already; return 0 or the ErrorCode."""
        account = self._find(command, user_id)
        if account is None:
            return Code.ACCOUNT_UNKNOWN
        if failure := self.board.draw(FailRecipient, user_id, command):
            return failure.code
        if self.repeats.is_repeat(user_id, content.msg_random, content.second):
            self.duplicates_dropped += 1
            return Code.SUCCESS
        message = self.journal.add(account, content, received_at_ms)
        self.feed.publish(Change(user_id, message))
        return Code.SUCCESS

    def _find(self, command: str, user_id: str) -> Account | None:
        if self.board.draw(ForgetAccount, user_id, command):
            self.accounts.forget([user_id])
        return self.accounts.find(user_id)

    def _check(self, user_id: str) -> JsonObject:
        known = self._find("account_check", user_id) is not None
        status = "Imported" if known else "NotImported"
        return {"UserID": user_id, "ResultCode": 0, "ResultInfo": "", "AccountStatus": status}

    def _require_sender(self, content: Content) -> None:
        """Let the administrator send, and anybody who is imported."""
        if content.sender != self.administrator and self.accounts.find(content.sender) is None:
            raise RefusalError(Code.SENDER_UNKNOWN)
