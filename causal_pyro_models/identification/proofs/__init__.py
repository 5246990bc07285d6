"""The rules of do-calculus, and derivations that are checked line by line.

How the derivation of a particular estimand is found belongs in ``deciding``.
"""
