"""Calls by pages of `GET /calls`: which pages to request, and whether to trust them."""
