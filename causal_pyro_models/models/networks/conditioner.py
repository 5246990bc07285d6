"""What a node's distribution takes from its parents: a linear part, and a network that corrects it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from causal_pyro_models.data.variables import Variable


class Conditioner(nn.Module):
    """Parameters of a conditional distribution, as functions of the parents.

    The linear part is set by the warm start and extrapolates; the network sees its inputs clamped to the range of the
    training data, so that an intervention far outside that range meets a straight line and not a network's guess.

    Args:
        parents: the parents' variables by name.
        outputs: number of parameters.
        hidden: widths of the network's hidden layers.
    """

    center: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    slope: Tensor

    def __init__(self, parents: Mapping[str, Variable], outputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.parents = dict(parents)
        self.bias = nn.Parameter(torch.zeros(outputs))
        width = sum(variable.width for variable in parents.values())
        for name, fill in {"center": 0.0, "scale": 1.0, "low": -math.inf, "high": math.inf}.items():
            self.register_buffer(name, torch.full((width,), fill))
        self.register_buffer("slope", torch.zeros(outputs, width))
        if parents:
            sizes = (width, *hidden)
            layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
            self.network = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def features(self, parents: Mapping[str, Tensor]) -> Tensor:
        """The parents' values, encoded and standardised, ``(..., width)``; empty for a root."""
        if not self.parents:
            return self.center
        encoded = [v.features(name, parents[name]).to(self.center.dtype) for name, v in self.parents.items()]
        shape = np.broadcast_shapes(*(features.shape[:-1] for features in encoded))
        encoded = [features.expand(*shape, -1) for features in encoded]
        return (torch.cat(encoded, -1) - self.center) / self.scale

    def forward(self, parents: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The linear part and the network's correction, ``(..., outputs)`` each; ``(outputs,)`` for a root."""
        if not self.parents:
            return self.bias, torch.zeros_like(self.bias)
        features = self.features(parents)
        return self.bias + features @ self.slope.T, self.network(features.clamp(self.low, self.high))

    @torch.no_grad()
    def initialise(self, parents: Mapping[str, Tensor]) -> None:
        """Standardise on the parents' values; no linear part, random hidden layers, no correction yet."""
        self.bias.zero_()
        self.slope.zero_()
        if not self.parents:
            return
        self.center.zero_()
        self.scale.fill_(1.0)
        raw = self.features(parents)
        self.center.copy_(raw.mean(0))
        self.scale.copy_(raw.std(0).clamp_min(torch.finfo(raw.dtype).tiny ** 0.5))
        features = self.features(parents)
        self.low.copy_(features.amin(0))
        self.high.copy_(features.amax(0))
        *hidden, last = (layer for layer in self.network if isinstance(layer, nn.Linear))
        for layer in hidden:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.normal_(layer.bias, std=0.5)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
