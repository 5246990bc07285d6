"""Whether a query is determined by what is available, and how: ID and its relatives, hedges, transport, selection.

Queries themselves belong in ``expressions``; bounds on what is not determined in ``bounding``.
"""
