"""Discrete variables with conditional laws whose parameters are functions of the parents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.nn.functional import softplus

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Binary, Categorical, Count, Ordinal, Variable
from causal_pyro_models.models.networks.expansion import Expansion
from causal_pyro_models.models.networks.features import encoded
from causal_pyro_models.models.node import Node, node_for
from causal_pyro_models.models.registry import register

RIDGE = 1.0  # on the regression that a training starts from, beside the sum over the units
SMALLEST_GAP = 1e-3  # between the thresholds of an ordinal variable, on the logistic scale
LOG_MEAN = (-12.0, 16.0)  # bounds on the logarithm of a count's mean
LOG_DISPERSION = (-4.0, 8.0)  # and of the number of failures

COUNT = Count()


class DiscreteNode(Node):
    """A discrete variable with a law whose parameters are functions of the parents.

    Args:
        variable: what kind of variable it is.
        outputs: number of parameters of the law.
        hidden: widths of the hidden layers.
    """

    conditioner: Expansion

    def __init__(self, variable: Variable, outputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__(variable)
        self.outputs, self.hidden = outputs, hidden

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.parents = dict(parents)
        self.conditioner = Expansion(sum(v.width for v in parents.values()), self.outputs - 1, self.hidden)

    def law(self, parameters: Tensor) -> TorchDistributionMixin:
        """The distribution with these parameters, ``(..., outputs)``."""
        raise NotImplementedError

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        features = encoded(self.parents, parents, self.conditioner.bias.dtype)
        batch = features.shape[:-1]
        location, further = self.conditioner(features.reshape(math.prod(batch), features.shape[-1]))
        parameters = torch.cat([location.unsqueeze(-1), further], -1)
        return self.law(parameters.reshape(*batch, self.outputs))

    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        self.keep_if_better(value, parents, held_out, held_out_parents)

    def initialise(self, value: Tensor, parents: Values) -> None:
        """Start as the regression on random hidden units that suits the law, such as a logistic one."""
        features = encoded(self.parents, parents, self.conditioner.bias.dtype).detach()
        self.conditioner.place(features)
        weights = self.conditioner.last_layer()
        optimiser: Any = torch.optim.LBFGS(weights, max_iter=50, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            location, further = self.conditioner(features)
            fit = self.law(torch.cat([location.unsqueeze(-1), further], -1)).log_prob(value).mean()
            loss: Tensor = RIDGE / len(value) * torch.stack([w.square().sum() for w in weights]).sum() - fit
            torch.autograd.backward(loss)
            return loss

        with torch.enable_grad():
            optimiser.step(closure)
        self.zero_grad(set_to_none=True)


@register
class BernoulliNode(DiscreteNode):
    """A binary variable with a log-odds that is a function of the parents.

    Example:
        >>> from causal_pyro_models.data import Continuous
        >>> x = torch.linspace(-2, 2, 400)
        >>> node = BernoulliNode(hidden=(4,))
        >>> node.connect({"X": Continuous()})
        >>> node.initialise((x > 0).float(), {"X": x})
        >>> bool(node.distribution({"X": torch.tensor(1.0)}).probs > 0.9)
        True
    """

    def __init__(self, variable: Binary = Binary(), hidden: tuple[int, ...] = (32, 32)) -> None:
        super().__init__(variable, 1, hidden)

    def law(self, parameters: Tensor) -> TorchDistributionMixin:
        return cast(TorchDistributionMixin, dist.Bernoulli(logits=parameters.squeeze(-1)))


@register
class CategoricalNode(DiscreteNode):
    """A categorical variable with logits that are functions of the parents.

    Example:
        >>> node = CategoricalNode(Categorical(3), hidden=())
        >>> node.connect({})
        >>> node.initialise(torch.tensor([0, 0, 1, 2]), {})
        >>> bool(node.distribution({}).probs.argmax() == 0)
        True
    """

    def __init__(self, variable: Categorical, hidden: tuple[int, ...] = (32, 32)) -> None:
        super().__init__(variable, variable.k, hidden)

    def law(self, parameters: Tensor) -> TorchDistributionMixin:
        return cast(TorchDistributionMixin, dist.Categorical(logits=parameters))


@register
class OrdinalNode(DiscreteNode):
    """An ordinal variable: logistic noise between thresholds that are functions of the parents.

    Example:
        >>> node = OrdinalNode(Ordinal(3), hidden=())
        >>> node.connect({})
        >>> node.initialise(torch.tensor([0, 0, 1, 2]), {})
        >>> node.distribution({}).log_prob(torch.arange(3)).exp().sum().detach().round(decimals=4)
        tensor(1.)
    """

    def __init__(self, variable: Ordinal, hidden: tuple[int, ...] = (32, 32)) -> None:
        super().__init__(variable, variable.k - 1, hidden)

    def law(self, parameters: Tensor) -> TorchDistributionMixin:
        gaps = softplus(parameters[..., 1:]) + SMALLEST_GAP
        thresholds = torch.cat([parameters[..., :1], gaps], -1).cumsum(-1)
        zero = torch.zeros_like(thresholds[..., 0])
        return cast(TorchDistributionMixin, dist.OrderedLogistic(zero, thresholds))


@register
class CountNode(DiscreteNode):
    """A count: negative binomial, with mean and dispersion that are functions of the parents.

    Example:
        >>> node = CountNode(hidden=())
        >>> node.connect({})
        >>> node.initialise(torch.tensor([0.0, 1.0, 2.0, 5.0] * 50), {})
        >>> bool(abs(node.distribution({}).mean - 2.0) < 0.2)
        True
    """

    def __init__(self, variable: Count = COUNT, hidden: tuple[int, ...] = (32, 32)) -> None:
        super().__init__(variable, 2, hidden)

    def law(self, parameters: Tensor) -> TorchDistributionMixin:
        log_mean, dispersion = parameters[..., 0].clamp(*LOG_MEAN), parameters[..., 1].clamp(*LOG_DISPERSION)
        failures = dispersion.exp()
        return cast(TorchDistributionMixin, dist.NegativeBinomial(failures, logits=log_mean - dispersion))


@node_for.register
def _(variable: Binary, residual: object, hidden: tuple[int, ...]) -> Node:
    return BernoulliNode(variable, hidden)


@node_for.register
def _(variable: Categorical, residual: object, hidden: tuple[int, ...]) -> Node:
    return CategoricalNode(variable, hidden)


@node_for.register
def _(variable: Ordinal, residual: object, hidden: tuple[int, ...]) -> Node:
    return OrdinalNode(variable, hidden)


@node_for.register
def _(variable: Count, residual: object, hidden: tuple[int, ...]) -> Node:
    return CountNode(variable, hidden)
