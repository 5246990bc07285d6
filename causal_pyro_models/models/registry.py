"""The classes that files of models may name."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from causal_pyro_models.data.variables import VARIABLES
from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import CausalGraph

Kind = TypeVar("Kind", bound=type)

KINDS: dict[str, type] = {"CausalGraph": CausalGraph, **VARIABLES}  # built from their settings
CLASSES: dict[str, type[nn.Module]] = {}  # settings themselves


def register(kind: Kind) -> Kind:
    """Let ``save`` and ``load`` know a class of nodes, or of their settings; returns it, so that it may decorate.

    Every parameter of its ``__init__`` must be kept as an attribute of the same name, and be a number, a string, a kind
    of variable, another registered object, or a tuple or dict of these.

    Raises:
        ModelError: there is another class of this name.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> from causal_pyro_models import Continuous, Node
        >>> @register
        ... class Noisy(Node):
        ...     def __init__(self, variable=Continuous(), scale=1.0):
        ...         super().__init__(variable)
        ...         self.scale = scale
        ...     def distribution(self, parents):
        ...         return dist.Normal(sum(parents.values(), torch.tensor(0.0)), self.scale)
        >>> from causal_pyro_models.models.files import described
        >>> described(Noisy(scale=2.0))["settings"]["scale"]
        2.0
    """
    if KINDS.setdefault(kind.__name__, kind) is not kind:
        raise ModelError(f"there is a class {kind.__name__} in files of models already: give it another name.")
    return kind
