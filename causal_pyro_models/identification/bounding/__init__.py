"""Bounds on what is not identifiable: response types, and the programs that find extremes.

What can be identified is decided in ``deciding``.
"""
