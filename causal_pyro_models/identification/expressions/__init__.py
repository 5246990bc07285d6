"""Expressions of probabilities and queries: how they are written, read, and brought into textbook form.

What an expression comes to in numbers belongs in ``laws``; which expression a query equals is found in ``deciding``.
"""
