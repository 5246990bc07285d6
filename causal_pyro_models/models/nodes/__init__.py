"""A family of nodes in each file, with the model that is made of such nodes alone.

A new family is one new file here. What several families are made of belongs in ``models.networks``.
"""
