"""The tables of the user service. Times are milliseconds since 1970 UTC."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from order_rpc.user.domain import NAME_KEY_CHARACTERS_MAX

metadata = sa.MetaData()

id_block = id_block_table(metadata, "user_id_block")

# `user` alone is a word of SQL.
account = sa.Table(
    "user_account",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("user_name", sa.String(255), nullable=False),
    sa.Column("user_name_key", sa.String(NAME_KEY_CHARACTERS_MAX), nullable=False),
    # The hash, with the parameters that it was made with.
    sa.Column("user_password", sa.String(255), nullable=False),
    # None: none. Two users without one are no double.
    sa.Column("user_mobile", sa.String(32), nullable=True),
    sa.Column("user_score", sa.BigInteger, nullable=False),
    sa.Column("user_reg_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("brand_id", "request_id", name="user_account_request"),
    sa.UniqueConstraint("brand_id", "user_name_key", name="user_account_name"),
    sa.UniqueConstraint("brand_id", "user_mobile", name="user_account_mobile"),
)

# A session is a row while it stands.
session = sa.Table(
    "user_session",
    metadata,
    sa.Column("session_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("secret_sha256", sa.String(64), nullable=False),
    sa.Column("token_sha256", sa.String(64), nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Index("user_session_by_user", "user_id", "session_id"),
)

# One row for whom somebody tries to log in as, whether there is such a user or not.
login_attempt = sa.Table(
    "user_login_attempt",
    metadata,
    sa.Column("login_sha256", sa.String(64), primary_key=True),
    sa.Column("failed_count", sa.Integer, nullable=False),
    sa.Column("locked_until_ms", sa.BigInteger, nullable=False),
    sa.Column("kept_until_ms", sa.BigInteger, nullable=False),
    sa.Index("user_login_attempt_by_time", "kept_until_ms"),
)
