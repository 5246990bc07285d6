"""Potential responses: a variable in a world, each once, and the graph of those that an event is about.

What is decided or bounded by them belongs in ``deciding`` and ``bounding``.
"""
