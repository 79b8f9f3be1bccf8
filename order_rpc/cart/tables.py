"""The tables of the cart service. Times are milliseconds since 1970 UTC."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.messages import consumed_message_table

metadata = sa.MetaData()

consumed_message = consumed_message_table(metadata, "cart")

# One row a user who ever put something in. Who puts a line in holds it, so that lines are counted one after another.
cart = sa.Table(
    "cart",
    metadata,
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    # Of the line that was put in last.
    sa.Column("position", sa.BigInteger, nullable=False),
)

cart_line = sa.Table(
    "cart_line",
    metadata,
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("goods_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("goods_number", sa.BigInteger, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("add_time_ms", sa.BigInteger, nullable=False),
    sa.CheckConstraint("goods_number > 0", name="cart_line_number_positive"),
)
