"""Which streams there are and who watches which, in Redis, where several workers share them."""
