"""Distributions of finite variables as numbers: joint tables, and the values of expressions in them.

Needs NumPy. Estimates from data belong above, in ``estimators``.
"""
