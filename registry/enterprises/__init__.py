"""Enterprises from application to closing, and the prefixes that are given to them."""
