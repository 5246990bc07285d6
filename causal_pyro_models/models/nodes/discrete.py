"""Discrete variables with conditional laws whose parameters are functions of the parents."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
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

MAX_ENTRIES = 10_000  # of a table, levels times cells
FOLDS = 5  # that choose what a table is shrunk towards
MARGIN = 3.0  # of log-likelihood, that another choice must do better by than one added to each count
STRENGTHS = (4.0, 16.0, 64.0, 256.0, 1024.0)  # of shrinkage towards a regression, in units per cell

COUNT = Count()


class DiscreteNode(Node):
    """A discrete variable with a law whose parameters are functions of the parents.

    Where the variable and all parents have finitely many levels, the law is a table: the frequencies of each
    combination of the parents' levels, one added to each count; or, as far as held-out units speak for it, shrunk
    towards such functions.

    Args:
        variable: what kind of variable it is.
        outputs: number of parameters of the law.
        hidden: widths of the hidden layers.
    """

    conditioner: Expansion
    tabled: Tensor

    def __init__(self, variable: Variable, outputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__(variable)
        self.outputs, self.hidden = outputs, hidden
        self.table: nn.Parameter | None = None  # natural parameters of each cell, ``(cells, outputs)``

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.parents = dict(parents)
        self.conditioner = Expansion(sum(v.width for v in parents.values()), self.outputs - 1, self.hidden)
        sizes = [levels(kind) for kind in (self.variable, *parents.values())]
        if all(sizes) and math.prod(sizes) <= MAX_ENTRIES:
            self.table = nn.Parameter(torch.zeros(math.prod(sizes[1:]), self.outputs))
            self.register_buffer("tabled", torch.tensor(False))  # whether the table is the law

    @property
    def settled(self) -> bool:
        """Whether the law is a table."""
        return self.table is not None and bool(self.tabled)

    def natural(self, parameters: Tensor) -> Tensor:
        """The law's natural parameters from what the functions of the parents say, ``(..., outputs)`` each."""
        return parameters

    def law(self, natural: Tensor) -> TorchDistributionMixin:
        """The distribution with these natural parameters, ``(..., outputs)``."""
        raise NotImplementedError

    def frequencies(self, shares: Tensor) -> Tensor:
        """The natural parameters ``(..., outputs)`` of a law that gives each level its share ``(..., levels)``."""
        raise NotImplementedError

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        features = encoded(self.parents, parents, self.conditioner.bias.dtype)
        if self.table is not None and self.settled:
            return self.law(self.table[cells(self.parents, parents)])
        batch = features.shape[:-1]
        parameters = self._functions(features.reshape(math.prod(batch), features.shape[-1]))
        return self.law(parameters.reshape(*batch, self.outputs))

    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        if self.settled:
            everyone = {name: torch.cat([parents[name], held_out_parents[name]]) for name in parents}
            self._tabulate(torch.cat([value, held_out]), everyone)
        else:
            self.keep_if_better(value, parents, held_out, held_out_parents)

    def initialise(self, value: Tensor, parents: Values) -> None:
        """Start as the regression on random hidden units that suits the law, such as a logistic one, or as a table."""
        features = encoded(self.parents, parents, self.conditioner.bias.dtype).detach()
        self.conditioner.place(features)
        if self.table is not None:
            self._tabulate(value, parents)
            return
        weights = self.conditioner.last_layer()

        def loss() -> Tensor:
            fit: Tensor = self.law(self._functions(features)).log_prob(value).mean()
            return RIDGE / len(value) * torch.stack([w.square().sum() for w in weights]).sum() - fit

        _minimise(loss, weights)
        self.zero_grad(set_to_none=True)

    def _functions(self, features: Tensor) -> Tensor:
        """Natural parameters at features ``(units, width)``."""
        location, further = self.conditioner(features)
        return self.natural(torch.cat([location.unsqueeze(-1), further], -1))

    # Tables ---------------------------------------------------------------------------------------------------------

    def _counts(self, value: Tensor, parents: Values) -> Tensor:
        """How often each level occurs in each cell, ``(cells, levels)``."""
        size = levels(self.variable)
        index = cells(self.parents, parents).expand(value.shape) * size + value.long()
        counts = torch.bincount(index, minlength=size * len(cast(Tensor, self.table)))
        return counts.reshape(-1, size).to(self.conditioner.bias.dtype)

    @torch.no_grad()
    def _tabulate(self, value: Tensor, parents: Values) -> None:
        """Fill the table, shrunk towards what explains the units of each fold best by those of the others."""
        folds = torch.arange(len(value), device=value.device) % FOLDS
        unseen = torch.stack([
            self._counts(value[folds == i], {name: parent[folds == i] for name, parent in parents.items()})
            for i in range(FOLDS)
        ])  # fmt: skip
        total = unseen.sum(0, keepdim=True)
        choices = self._choices(torch.cat([total, total - unseen]))
        gains = torch.stack([(unseen * shares[1:].log()).sum() for shares in choices])
        gains[0] += MARGIN
        cast(Tensor, self.table).copy_(self.frequencies(choices[int(gains.argmax())][0]))
        self.tabled.fill_(True)

    def _choices(self, counts: Tensor) -> list[Tensor]:
        """Shares of the levels by counts ``(sets, cells, levels)``, under each choice of what is added to these.

        The first is one alone; the others are units besides that a regression expects, on line and products, and then
        on hidden units too.
        """
        found = [_shares(counts + 1.0)]
        if not self.parents:
            return found
        _, line, squashed = self.conditioner.inputs(self.conditioner.tensors(), self._cell_features())
        units = self.conditioner.units(self.conditioner.tensors(), squashed)
        for columns in (line, torch.cat([line, squashed, units], -1)):
            expected = self._expected(counts, columns)
            found += [_shares(counts + 1.0 + strength * expected) for strength in STRENGTHS]
        return found

    def _expected(self, counts: Tensor, columns: Tensor) -> Tensor:
        """Shares of the levels by the regression of each set of counts on columns ``(cells, columns)``."""
        every = torch.arange(counts.shape[-1], device=counts.device).reshape(-1, 1, 1)
        total = counts.sum((-2, -1), keepdim=True)
        weights = torch.zeros(len(counts), columns.shape[-1], self.outputs, dtype=columns.dtype, device=columns.device)

        def log_shares(cells: Tensor) -> Tensor:
            law: Any = self.law(self.natural(cells @ weights))
            found: Tensor = law.log_prob(every.to(counts.dtype))
            return found.movedim(0, -1)

        occupied = counts[0].sum(-1) > 0
        seen = counts[:, occupied] / total

        def loss() -> Tensor:
            fit = (seen * log_shares(columns[occupied])).sum()
            return (RIDGE / total * weights.square()).sum() - fit

        _minimise(loss, [weights.requires_grad_()])
        return log_shares(columns).detach().exp()

    def _cell_features(self) -> Tensor:
        """The features of each cell, ``(cells, width)``."""
        index, sizes = torch.arange(len(cast(Tensor, self.table))), [levels(kind) for kind in self.parents.values()]
        index = index.to(self.conditioner.bias.device)
        values = {}
        for name, size in reversed(list(zip(self.parents, sizes, strict=True))):
            values[name], index = index % size, index // size
        return encoded(self.parents, values, self.conditioner.bias.dtype)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Files of before there were tables have none."""
        if self.table is not None:
            state_dict.setdefault(f"{prefix}tabled", torch.tensor(False))
            state_dict.setdefault(f"{prefix}table", torch.zeros(self.table.shape, dtype=self.conditioner.bias.dtype))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _minimise(loss: Callable[[], Tensor], weights: Sequence[Tensor]) -> None:
    """Move weights, which are zeroed first, to where a loss is least."""
    with torch.no_grad():
        for weight in weights:
            weight.zero_()
    optimiser: Any = torch.optim.LBFGS(weights, max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        return value

    with torch.enable_grad():
        optimiser.step(closure)


def _shares(counts: Tensor) -> Tensor:
    """The share of each level in each cell, ``(..., cells, levels)``."""
    return counts / counts.sum(-1, keepdim=True)


def levels(kind: Variable) -> int:
    """How many values a variable can have; 0 where there is no bound.

    Example:
        >>> levels(Binary()), levels(Ordinal(4)), levels(Count())
        (2, 4, 0)
    """
    return 2 if isinstance(kind, Binary) else kind.k if isinstance(kind, Categorical | Ordinal) else 0


def cells(kinds: Mapping[str, Variable], values: Values) -> Tensor:
    """Which combination of levels each unit has, ``(...)``, numbered with the last variable running fastest.

    Example:
        >>> cells({"A": Binary(), "B": Categorical(3)}, {"A": torch.tensor([0.0, 1.0]), "B": torch.tensor([2, 1])})
        tensor([2, 4])
    """
    index = torch.zeros((), dtype=torch.long, device=next((v.device for v in values.values()), None))
    for name, kind in kinds.items():
        index = index * levels(kind) + values[name].long()
    return index


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

    def law(self, natural: Tensor) -> TorchDistributionMixin:
        return cast(TorchDistributionMixin, dist.Bernoulli(logits=natural.squeeze(-1)))

    def frequencies(self, shares: Tensor) -> Tensor:
        return shares[..., 1:].log() - shares[..., :1].log()


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

    def law(self, natural: Tensor) -> TorchDistributionMixin:
        return cast(TorchDistributionMixin, dist.Categorical(logits=natural))

    def frequencies(self, shares: Tensor) -> Tensor:
        return shares.log()


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

    def natural(self, parameters: Tensor) -> Tensor:
        """The thresholds."""
        gaps = softplus(parameters[..., 1:]) + SMALLEST_GAP
        return torch.cat([parameters[..., :1], gaps], -1).cumsum(-1)

    def law(self, natural: Tensor) -> TorchDistributionMixin:
        zero = torch.zeros_like(natural[..., 0])
        return cast(TorchDistributionMixin, dist.OrderedLogistic(zero, natural))

    def frequencies(self, shares: Tensor) -> Tensor:
        below = shares.cumsum(-1)[..., :-1]
        above = shares.flip(-1).cumsum(-1).flip(-1)[..., 1:]
        return below.log() - above.log()


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

    def law(self, natural: Tensor) -> TorchDistributionMixin:
        log_mean, dispersion = natural[..., 0].clamp(*LOG_MEAN), natural[..., 1].clamp(*LOG_DISPERSION)
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
