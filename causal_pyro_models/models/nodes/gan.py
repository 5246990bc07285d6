"""Causal generative adversarial networks: every variable generated from its parents and noise, against critics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, distributions as td
from torch.nn.functional import gumbel_softmax, one_hot

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Binary, Categorical, Continuous, Count, Ordinal, Positive, Variable
from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import GraphLike
from causal_pyro_models.models.checked import checked_graph, checked_variables
from causal_pyro_models.models.networks.functions import Network
from causal_pyro_models.models.networks.preparation import Prepare
from causal_pyro_models.models.networks.scalar_flow import Spline
from causal_pyro_models.models.node import Node, node_for
from causal_pyro_models.models.nodes.vae import VAENode, latents
from causal_pyro_models.models.registry import register
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.mechanisms.atoms import Atomic, Censored
from causal_pyro_models.validation import checked_count

TEMPERATURE = 0.5  # of the relaxed draws that discrete variables are trained by


@register
class GANNode(Node):
    """A variable generated from its parents and noise, trained against critics after a warm start on the likelihood.

    The generator is a node of another family, whose noise it takes over. For a scalar it is a flow, monotone in its
    noise, so that there is a density and the noise is exact given the value; for a discrete variable logits with Gumbel
    noise, relaxed by Gumbel-softmax in training and exact otherwise; for a vector a network of a latent ``X.z`` with
    residual noise of learned scale, whose encoder is the guide of the latent.

    Args:
        variable: what kind of variable it is; not a count, along which there is no gradient.
        latent: dimensions of a vector's latent.
        generator: a node of the same variable, in place of the default one.
        hidden: widths of the hidden layers of the default generator.

    Raises:
        ModelError: the variable is a count, or the generator is of another variable.

    References:
        I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville (2017). Improved training of Wasserstein GANs.
        NeurIPS.
        E. Jang, S. Gu, B. Poole (2017). Categorical reparameterization with Gumbel-softmax. ICLR.

    Example:
        >>> node = GANNode(Continuous(3), latent=1)
        >>> node.connect({})
        >>> value, features = node.draw({}, 5)
        >>> value.shape, node.has_latents
        (torch.Size([5, 3]), True)
    """

    adversarial = True

    def __init__(
        self,
        variable: Variable = Continuous(),
        latent: int = 2,
        generator: Node | None = None,
        hidden: tuple[int, ...] = (32, 32),
    ) -> None:
        super().__init__(variable)
        if isinstance(variable, Count):
            raise ModelError("a count has no gradient that a critic could pass on: take CountNode for it.")
        self.latent: int = checked_count(latent, "latent")
        self.hidden: tuple[int, ...] = Network(hidden).hidden
        self.generator: Node = _generator(variable, self.latent, self.hidden) if generator is None else generator
        if not isinstance(self.generator, Node) or self.generator.variable != variable:
            raise ModelError(f"the generator must be a node of the variable {variable!r:.80}.")

    @property
    def has_latents(self) -> bool:
        """Whether the noise of the generator is not exact given the value."""
        return isinstance(self.generator, VAENode)

    @property
    def settled(self) -> bool:
        return self.generator.settled

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.generator.connect(parents)

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        return self.generator.distribution(parents)

    def forward(self, name: str, parents: Values) -> Tensor:
        return cast(Tensor, self.generator(name, parents))

    def guide(self, name: str, value: Tensor, parents: Values) -> None:
        self.generator.guide(name, value, parents)

    def log_prob(self, value: Tensor, parents: Values) -> Tensor:
        return self.generator.log_prob(value, parents)

    def loss(self, value: Tensor, parents: Values, progress: float) -> Tensor:
        """The loss of the warm start: minus the log-likelihood, or minus its bound."""
        return self.generator.loss(value, parents, progress)

    def draw_loss(self, value: Tensor, parents: Values, progress: float) -> Tensor:
        return self.generator.draw_loss(value, parents, progress)

    def initialise(self, value: Tensor, parents: Values) -> None:
        self.generator.initialise(value, parents)

    def start(self, value: Tensor, parents: Values, prepare: Prepare) -> None:
        self.generator.start(value, parents, prepare)

    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        self.generator.finish(value, parents, held_out, held_out_parents)

    def draw(self, parents: Values, units: int) -> tuple[Tensor, Tensor]:
        """Generated values ``(units, *event)`` and their features ``(units, width)``, with gradients."""
        law = self._law(parents, units)[0]
        return relaxed(law.expand((units,)), self.variable)

    def encoder_loss(self, parents: Values, units: int) -> Tensor:
        """Minus the log density of the encoder at the latents of units that are generated here, ``(units,)``."""
        generator = cast(VAENode, self.generator)
        with torch.no_grad():
            law, latent = self._law(parents, units)
            value = law.expand((units,)).sample()
        loss: Tensor = -generator.encoded(value, parents).log_prob(latent)
        return loss

    def _law(self, parents: Values, units: int) -> tuple[Any, Tensor]:
        """The law of the value given parents and a latent from its prior, and that latent (of no size without one)."""
        if not isinstance(self.generator, VAENode):
            return self.generator.distribution(parents), torch.zeros(units, 0)
        latent = self.generator.posterior.prior().expand((units,)).sample()
        return self.generator.decoded(parents, latent), latent


def _generator(variable: Variable, latent: int, hidden: tuple[int, ...]) -> Node:
    """The default generator of a kind of variable."""
    if isinstance(variable, Binary | Categorical | Ordinal | Positive) or not variable.event_shape:
        return node_for(variable, Spline(), hidden)
    return VAENode(variable, latent, hidden=hidden)


@singledispatch
def relaxed(law: Any, variable: Variable) -> tuple[Tensor, Tensor]:
    """A draw from a distribution and its features, exact in value, with gradients of a relaxation where discrete."""
    value = law.rsample()
    return value, variable.features("", value)


@relaxed.register
def _(law: td.Bernoulli, variable: Variable) -> tuple[Tensor, Tensor]:
    noise = dist.Logistic(torch.zeros_like(law.logits), 1.0).sample()
    score = law.logits + noise
    value = _straight_through((score > 0).to(score.dtype), torch.sigmoid(score / TEMPERATURE))
    return value, value.unsqueeze(-1)


@relaxed.register
def _(law: td.Categorical, variable: Variable) -> tuple[Tensor, Tensor]:
    soft = gumbel_softmax(law.logits, TEMPERATURE)
    value = soft.argmax(-1)
    return value, _straight_through(one_hot(value, soft.shape[-1]).to(soft.dtype), soft)


@relaxed.register
def _(law: dist.OrderedLogistic, variable: Variable) -> tuple[Tensor, Tensor]:
    noise = dist.Logistic(torch.zeros_like(law.predictor), 1.0).sample()
    over = (law.predictor + noise).unsqueeze(-1) - law.cutpoints
    value = (over > 0).sum(-1)
    soft = torch.sigmoid(over / TEMPERATURE).sum(-1)
    return value, _straight_through(value.to(soft.dtype), soft).unsqueeze(-1)


@relaxed.register
def _(law: Atomic, variable: Variable) -> tuple[Tensor, Tensor]:
    value = law.mixed(law.gate.sample(), law.base.rsample())
    return value, variable.features("", value)


@relaxed.register
def _(law: Censored, variable: Variable) -> tuple[Tensor, Tensor]:
    value = law.kept(law.base.rsample())
    return value, variable.features("", value)


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of one and the gradient of the other."""
    return hard + (soft - soft.detach())


@register
class CausalGAN(StructuralCausalModel):
    """A generator per variable, trained against critics of each variable given its parents and of all jointly.

    See :class:`GANNode` for the generators and ``training.critics`` for the critics. Counts, which pass no
    gradients on, are negative binomial and trained on the likelihood alone. Each maximal clique of bidirected edges
    becomes a hidden cause that its variables share.

    Train it with ``causal_pyro_models.fit``: first on the likelihood (or its bound), then ``adversarial_steps`` against
    the critics; the weights are kept that generate the units closest to held-out ones.

    Args:
        graph: the causal graph.
        variables: the kind of each variable of the graph.
        latent: dimensions of the latents of vectors, or a dict from variable to dimensions.
        hidden: widths of the hidden layers of each generator.
        confounder_dim: dimensions of each hidden cause.

    Raises:
        ModelError: a setting out of its range, or a variable has no kind.
        UnknownVariableError: a kind or a latent is given for something that is no variable of the graph.

    References:
        M. Kocaoglu, C. Snyder, A. Dimakis, S. Vishwanath (2018). CausalGAN: learning causal implicit generative models
        with adversarial training. ICLR.

    Example:
        >>> from causal_pyro_models import counterfactual, fit
        >>> x = torch.linspace(-1, 1, 200)
        >>> data = {"X": x, "Y": 2 * x + 0.1 * torch.cos(50 * x)}
        >>> model = CausalGAN("X -> Y", {"X": 1, "Y": 1})
        >>> _ = fit(model, data, steps=50, adversarial_steps=5, seed=0, progress=False)
        >>> world = counterfactual(model, {"X": [0.0], "Y": [0.1]}, do={"X": 1.0})
        >>> print(f"{world['Y'].item():.1f}")
        2.1
    """

    def __init__(
        self,
        graph: GraphLike,
        variables: Mapping[str, Variable | int],
        latent: int | Mapping[str, int] = 2,
        hidden: tuple[int, ...] = (32, 32),
        confounder_dim: int = 1,
    ) -> None:
        graph = checked_graph(graph)
        kinds = checked_variables(graph, variables)
        sizes, hidden = latents(kinds, latent), Network(hidden).hidden

        def node(name: str, kind: Variable) -> Node:
            if isinstance(kind, Count):
                return node_for(kind, Spline(), hidden)
            return GANNode(kind, sizes[name] or 1, hidden=hidden)

        super().__init__(graph, {name: node(name, kind) for name, kind in kinds.items()}, confounder_dim)
        self.latent, self.hidden = sizes, hidden
