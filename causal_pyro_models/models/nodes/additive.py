"""Additive noise: every real variable a function of its parents plus noise, which may scale with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions.transforms import ExpTransform

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Image, Positive, Variable
from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import GraphLike
from causal_pyro_models.models.checked import check_unconfounded, checked_graph, checked_variables
from causal_pyro_models.models.networks.features import tame
from causal_pyro_models.models.networks.functions import Function, Network, ParentFunction
from causal_pyro_models.models.networks.laws import Gaussian, NoiseLaw
from causal_pyro_models.models.networks.scalar_flow import Spline
from causal_pyro_models.models.node import Node, node_for
from causal_pyro_models.models.registry import register
from causal_pyro_models.models.structural import StructuralCausalModel

MAX_LOG_SCALE = 7.0  # how far the parents may move the logarithm of a scale
SMALLEST = 1e-5  # standard deviation of the noise that training starts from, in units of the variable's


@register
class AdditiveNoiseNode(Node):
    """A real variable ``x = m(pa) + s(pa) u``, or its logarithm for a positive one; coordinates of a vector each so.

    Args:
        variable: ``Continuous(dim)``, ``Positive()`` or ``Image(...)``.
        function: the function of the parents: ``Linear()``, ``Smooth(...)`` or ``Network(...)``.
        noise: the law of u: ``Gaussian()``, ``Laplace()``, ``Logistic()``, ``StudentT()``, ``Uniform()`` or
            ``Learned()``.
        heteroscedastic: whether the scale s depends on the parents, as a function of the same kind.

    Raises:
        ModelError: the variable is discrete, or function or noise is none of these.

    References:
        P. Hoyer, D. Janzing, J. Mooij, J. Peters, B. Scholkopf (2009). Nonlinear causal discovery with additive noise
        models. NeurIPS.

    Example:
        >>> from causal_pyro_models import StructuralCausalModel, fit
        >>> from causal_pyro_models.models import Smooth
        >>> x = torch.linspace(-1, 1, 200)
        >>> nodes = {"X": AdditiveNoiseNode(), "Y": AdditiveNoiseNode(function=Smooth())}
        >>> model = StructuralCausalModel("X -> Y", nodes)
        >>> _ = fit(model, {"X": x, "Y": x**2 + 0.1 * torch.cos(50 * x)}, steps=5, seed=0, progress=False)
        >>> model.nodes["Y"].distribution({"X": torch.tensor(0.5)}).mean.detach().round(decimals=1)
        tensor(0.2000)
    """

    regression: ParentFunction
    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        variable: Variable = Continuous(),
        function: Function = Network(),
        noise: NoiseLaw = Gaussian(),
        heteroscedastic: bool = False,
    ) -> None:
        super().__init__(variable)
        if not isinstance(variable, Continuous | Positive | Image):
            raise ModelError(f"additive noise needs a real variable, such as Continuous(), got {variable!r:.80}.")
        if not isinstance(function, Function):
            raise ModelError(f"function must be Linear(), Smooth() or Network(), got {function!r:.80}.")
        if not isinstance(noise, NoiseLaw):
            raise ModelError(f"noise must be a law such as Gaussian() or Laplace(), got {noise!r:.80}.")
        self.function, self.noise, self.heteroscedastic = function, noise, bool(heteroscedastic)
        self.event_shape, self.width = torch.Size(variable.event_shape), variable.width
        self.register_buffer("mean", torch.zeros(self.event_shape))
        self.register_buffer("sd", torch.ones(self.event_shape))
        self.log_scale = torch.nn.Parameter(torch.zeros(self.event_shape))
        self.shape = torch.nn.Parameter(torch.zeros(*self.event_shape, noise.size)) if noise.size else None

    def connect(self, parents: Mapping[str, Variable]) -> None:
        outputs = self.width * (1 + self.heteroscedastic)
        self.regression = self.function.connect(parents, outputs)

    def parameters_given(self, parents: Values) -> tuple[Tensor, Tensor, Tensor]:
        """Location and scale ``(..., *event)`` and shape ``(*event, noise.size)`` given the parents' values."""
        location, *change = (part.reshape(self._batch(part)) for part in self.regression(parents).split(self.width, -1))
        location = self.mean + self.sd * location
        log_scale: Tensor = self.log_scale
        if change:
            log_scale = log_scale + MAX_LOG_SCALE * torch.tanh(change[0] / MAX_LOG_SCALE)
        scale = (self.sd * log_scale.exp()).expand_as(location)
        shape = location.new_zeros(*self.event_shape, 0) if self.shape is None else self.shape
        return location, scale, shape

    def _batch(self, part: Tensor) -> torch.Size:
        return part.shape[:-1] + self.event_shape

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        law: Any = self.noise.law(*self.parameters_given(parents))
        if isinstance(self.variable, Positive):
            law = dist.TransformedDistribution(law, [ExpTransform()])
        return cast(TorchDistributionMixin, law.to_event(len(self.event_shape)))

    def loss(self, value: Tensor, parents: Values, progress: float) -> Tensor:
        line = self._line(value)
        fit = self.noise.objective(line, *self.parameters_given(parents))
        if isinstance(self.variable, Positive):
            fit = fit - line
        return -fit.flatten(fit.dim() - len(self.event_shape)).sum(-1) if self.event_shape else -fit

    @torch.no_grad()
    def initialise(self, value: Tensor, parents: Values) -> None:
        """Start as the model of least squares, its noise of one scale."""
        line = self._line(value)
        line = tame(line.reshape(len(line), -1)).reshape(line.shape)
        self.mean.copy_(line.mean(0))
        self.sd.copy_(line.std(0).clamp_min(torch.finfo(line.dtype).tiny ** 0.5))
        target = ((line - self.mean) / self.sd).reshape(len(line), self.width)
        residual = self.regression.initialise(parents, target)
        self.log_scale.copy_(residual.std(0).clamp_min(SMALLEST).log().reshape(self.event_shape))
        if self.shape is not None:
            self.shape.zero_()

    @torch.no_grad()
    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        self.keep_if_better(value, parents, held_out, held_out_parents)
        everyone = {name: torch.cat([parents[name], held_out_parents[name]]) for name in parents}
        location, scale, _ = self.parameters_given(everyone)
        residual = (self._line(torch.cat([value, held_out])) - location) / scale
        self.log_scale.add_(self.noise.slack(residual).log())

    def _line(self, value: Tensor) -> Tensor:
        """The value on the whole line."""
        return value.log() if isinstance(self.variable, Positive) else value


@register
class AdditiveNoiseModel(StructuralCausalModel):
    """Additive noise: every real variable a function of its parents plus noise; discrete ones conditional categoricals.

    The noise is exact given the values. Values are on the scale of the data, standardisation is inside. Train it with
    ``causal_pyro_models.fit``.

    Args:
        graph: the causal graph, without bidirected edges.
        variables: the kind of each variable of the graph.
        function: the functions of the parents: ``Linear()``, ``Smooth(...)`` or ``Network(...)``.
        noise: the law of real variables' noise: ``Gaussian()``, ``Laplace()``, ``Logistic()``, ``StudentT()``,
            ``Uniform()`` or ``Learned()``.
        heteroscedastic: whether the noise's scale depends on the parents too.

    Raises:
        ModelError: the graph has bidirected edges, or a variable has no kind.
        UnknownVariableError: a kind is given for something that is no variable of the graph.

    References:
        P. Hoyer, D. Janzing, J. Mooij, J. Peters, B. Scholkopf (2009). Nonlinear causal discovery with additive noise
        models. NeurIPS.

    Example:
        >>> from causal_pyro_models import counterfactual, fit
        >>> from causal_pyro_models.models.networks.functions import Linear
        >>> x = torch.linspace(-1, 1, 200)
        >>> data = {"X": x, "Y": 2 * x + 0.1 * torch.cos(50 * x)}
        >>> graph = "X -> Y"
        >>> model = AdditiveNoiseModel(graph, {"X": Continuous(), "Y": Continuous()}, Linear())
        >>> _ = fit(model, data, steps=50, seed=0, progress=False)
        >>> world = counterfactual(model, {"X": [0.0], "Y": [0.1]}, do={"X": 1.0})
        >>> print(f"{world['Y'].item():.1f}")
        2.1
    """

    def __init__(
        self,
        graph: GraphLike,
        variables: Mapping[str, Variable],
        function: Function = Network(),
        noise: NoiseLaw = Gaussian(),
        heteroscedastic: bool = False,
    ) -> None:
        graph = checked_graph(graph)
        variables = checked_variables(graph, variables)
        check_unconfounded(graph, "an additive noise model")
        hidden = function.hidden if isinstance(function, Network) else ()

        def node(variable: Variable) -> Node:
            if isinstance(variable, Continuous | Positive | Image):
                return AdditiveNoiseNode(variable, function, noise, heteroscedastic)
            return node_for(variable, Spline(), hidden)

        super().__init__(graph, {name: node(kind) for name, kind in variables.items()})
        self.function, self.noise, self.heteroscedastic = function, noise, heteroscedastic


@register
class NeuralCausalModel(AdditiveNoiseModel):
    """An :class:`AdditiveNoiseModel`, by default one of networks.

    In the literature a *neural causal model* is a model of networks with hidden common causes, whose noise is not told
    from data (Xia et al. 2021); this one has none, and its noise is exact. For bidirected edges take ``CausalVAE``.

    Args:
        graph, variables, function, noise, heteroscedastic: see :class:`AdditiveNoiseModel`.

    References:
        K. Xia, K.-Z. Lee, Y. Bengio, E. Bareinboim (2021). The causal-neural connection: expressiveness, learnability,
        and inference. NeurIPS.

    Example:
        >>> model = NeuralCausalModel("X -> Y", {"X": Continuous(), "Y": Continuous()})
        >>> model.function
        Network(hidden=(32, 32), activation=<class 'torch.nn.modules.activation.SiLU'>, normalisation=None)
    """
