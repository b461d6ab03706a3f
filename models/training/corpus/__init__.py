"""Writes conversations with a seeded random generator; there is no outside text in them."""
