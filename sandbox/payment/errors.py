"""How the payment channel refuses."""


class PaymentError(Exception):
    """A refusal: a code, the reason with the field it is about, and the HTTP status."""

    def __init__(self, code: str, reason: str, http_status: int) -> None:
        """Take what the caller is told."""
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
        self.http_status = http_status
