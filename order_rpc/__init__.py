"""Orders and everything behind them: goods, carts, coupons, wallets, payments, users, flash sales, SMS packages."""
