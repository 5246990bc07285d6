"""Causal variational autoencoders: every variable decoded from a latent of its own, its parents, and residual noise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Discrete, Variable
from causal_pyro_models.errors import ModelError, unknown_variable
from causal_pyro_models.graph import GraphLike
from causal_pyro_models.models.checked import checked_graph, checked_variables
from causal_pyro_models.models.networks.functions import Network
from causal_pyro_models.models.networks.latent import Latent, principal_components, residuals, standardised
from causal_pyro_models.models.networks.laws import Gaussian
from causal_pyro_models.models.networks.preparation import Prepare, unprepared
from causal_pyro_models.models.networks.scalar_flow import Spline
from causal_pyro_models.models.node import Node, node_for
from causal_pyro_models.models.nodes.additive import AdditiveNoiseNode
from causal_pyro_models.models.registry import register
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.sites import noise_name
from causal_pyro_models.validation import checked_count

VALUE, LATENT = "(value)", "(latent)"  # what the encoder and the decoder call them


@register
class VAENode(Node):
    """A variable decoded from its parents and a standard normal latent ``X.z``, with noise of its own besides.

    The decoder is an exact node of any family, to which the latent is one more parent: its noise is the residual, which
    is abducted exactly given the latent. The encoder, a normal of (value, parents), is the guide of ``U_X.z``.

    Args:
        variable: what kind of variable it is; of any event shape.
        latent: dimensions of the latent.
        decoder: an exact node of the same variable; by default a network with Gaussian noise, whose scale is learned
            (as a function of parents and latent) for real variables, and a conditional categorical for discrete ones.
        hidden: widths of the hidden layers of encoder and default decoder.
        beta: weight of the divergence of the encoder from the prior; over 1 it keeps the parents out of the latent.
        annealed: share of the training over which that weight rises from zero to ``beta``. The start in closed form
            makes this unnecessary for tables; it helps where the decoder starts out useless, as for images.

    Raises:
        ModelError: a setting out of its range, or a decoder of another variable.

    References:
        D. Kingma, M. Welling (2014). Auto-encoding variational Bayes. ICLR.
        I. Higgins et al. (2017). beta-VAE: learning basic visual concepts with a constrained variational framework.

    Example:
        >>> from causal_pyro_models import StructuralCausalModel
        >>> nodes = {"X": VAENode(), "V": VAENode(Continuous(4), latent=1)}
        >>> model = StructuralCausalModel("X -> V", nodes)
        >>> sorted(pyro.poutine.trace(model).get_trace().stochastic_nodes)
        ['V', 'V.z', 'X', 'X.z']
    """

    posterior: Latent

    def __init__(
        self,
        variable: Variable = Continuous(),
        latent: int = 2,
        decoder: Node | None = None,
        hidden: tuple[int, ...] = (32, 32),
        beta: float = 1.0,
        annealed: float = 0.0,
    ) -> None:
        super().__init__(variable)
        if not isinstance(beta, Real) or not beta > 0 or not isinstance(annealed, Real) or not 0 <= annealed <= 1:
            raise ModelError(f"beta must be positive and annealed from 0 to 1, got {beta!r:.80} and {annealed!r:.80}.")
        self.latent: int = checked_count(latent, "latent")
        self.hidden: tuple[int, ...] = Network(hidden).hidden
        self.beta: float = float(beta)
        self.annealed: float = float(annealed)
        self.decoder: Node = decoder_for(variable, self.hidden) if decoder is None else decoder
        if not isinstance(self.decoder, Node) or self.decoder.variable != variable:
            raise ModelError(f"the decoder must be an exact node of the variable {variable!r:.80}.")

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.parents = dict(parents)
        self.posterior = Latent(self.latent, {VALUE: self.variable, **parents}, self.hidden)
        self.decoder.connect({**parents, LATENT: Continuous(self.latent)})

    @property
    def has_latents(self) -> bool:
        return True

    def forward(self, name: str, parents: Values) -> Tensor:
        """Issue the sample statements ``name.z`` and ``name``."""
        latent = pyro.sample(f"{name}.z", self.posterior.prior())
        value: Tensor = self.decoder(name, {**parents, LATENT: latent})
        return value

    def decoded(self, parents: Values, latent: Tensor) -> TorchDistributionMixin:
        """The distribution of the variable given its parents and the latent."""
        return self.decoder.distribution({**parents, LATENT: latent})

    def encoded(self, value: Tensor, parents: Values) -> TorchDistributionMixin:
        """The approximate posterior of the latent given the variable and its parents."""
        return self.posterior.posterior({VALUE: value, **parents})

    def guide(self, name: str, value: Tensor, parents: Values) -> None:
        pyro.sample(noise_name(f"{name}.z"), self.encoded(value, parents))

    def log_prob(self, value: Tensor, parents: Values) -> Tensor:
        raise ModelError(
            "a VAENode has a latent, so that its density has no closed form: take loss(...), which bounds its negative "
            "logarithm, or a node of another family."
        )

    def loss(self, value: Tensor, parents: Values, progress: float) -> Tensor:
        """Minus the evidence lower bound, per unit, by one draw of the latent."""
        return self._loss(value, parents, progress, pointwise=False)

    def draw_loss(self, value: Tensor, parents: Values, progress: float) -> Tensor:
        return self._loss(value, parents, progress, pointwise=True)

    def _loss(self, value: Tensor, parents: Values, progress: float, pointwise: bool) -> Tensor:
        latent, divergence = self.posterior.draw({VALUE: value, **parents}, pointwise)
        weight = self.beta * (min(1.0, progress / self.annealed) if self.annealed else 1.0)
        weight = 1.0 if pointwise else weight  # no weight of importance is that of a tempered divergence
        return self.decoder.loss(value, {**parents, LATENT: latent}, progress) + weight * divergence

    def initialise(self, value: Tensor, parents: Values) -> None:
        self.start(value, parents, unprepared)

    @torch.no_grad()
    def start(self, value: Tensor, parents: Values, prepare: Prepare) -> None:
        """Start as principal components of what a linear function of the parents leaves unexplained."""
        like = self.posterior.encoder.bias.expand(len(value), -1)
        own = standardised({VALUE: self.variable}, {VALUE: value}, like)
        left = residuals(own, standardised(self.parents, parents, own))
        latent = principal_components(left, self.latent).reshape(len(value), *Continuous(self.latent).event_shape)
        self.posterior.initialise({VALUE: value, **parents}, latent)
        self.decoder.start(value, {**parents, LATENT: latent}, prepare)


def decoder_for(variable: Variable, hidden: tuple[int, ...]) -> Node:
    """The default decoder of a kind of variable."""
    if isinstance(variable, Discrete):
        return node_for(variable, Spline(), hidden)
    return AdditiveNoiseNode(variable, Network(hidden), Gaussian(), heteroscedastic=True)


@register
class CausalVAE(StructuralCausalModel):
    """A variational autoencoder per variable, conditioned on the variable's parents.

    A real variable X is decoded from its parents, a latent ``X.z`` and residual noise of learned scale. A discrete one
    needs no latent, its own noise covers every conditional law; it is given one by name in ``latent``. Each maximal
    clique of bidirected edges becomes a hidden cause that its variables share. Beside these, a real variable without
    bidirected edges needs no latent either: it is a flow, whose noise is exact.

    Train it with ``causal_pyro_models.fit``, on the evidence lower bound. ``counterfactual`` and the other verbs draw
    the latents from the encoders, weighted to their posterior, and abduct the rest exactly.

    Args:
        graph: the causal graph.
        variables: the kind of each variable of the graph.
        latent: dimensions of the latents of real variables, or a dict from variable to dimensions (0 for none).
        hidden: widths of the hidden layers of each network.
        beta: weight of the divergence of the encoders from the prior.
        confounder_dim: dimensions of each hidden cause.

    Raises:
        ModelError: a setting out of its range, or a variable has no kind.
        UnknownVariableError: a kind or a latent is given for something that is no variable of the graph.

    References:
        D. Kingma, M. Welling (2014). Auto-encoding variational Bayes. ICLR.
        N. Pawlowski, D. Castro, B. Glocker (2020). Deep structural causal models for tractable counterfactual
        inference. NeurIPS.

    Example:
        >>> from causal_pyro_models import counterfactual, fit
        >>> x = torch.linspace(-1, 1, 200)
        >>> data = {"X": x, "Y": 2 * x + 0.1 * torch.cos(50 * x)}
        >>> model = CausalVAE("X -> Y", {"X": 1, "Y": 1}, latent=1)
        >>> _ = fit(model, data, steps=50, seed=0, progress=False)
        >>> world = counterfactual(model, {"X": [0.0], "Y": [0.1]}, do={"X": 1.0}, seed=0)
        >>> print(f"{world.mean('Y').item():.1f}")
        2.1
    """

    def __init__(
        self,
        graph: GraphLike,
        variables: Mapping[str, Variable | int],
        latent: int | Mapping[str, int] = 2,
        hidden: tuple[int, ...] = (32, 32),
        beta: float = 1.0,
        confounder_dim: int = 1,
    ) -> None:
        graph = checked_graph(graph)
        kinds = checked_variables(graph, variables)
        confounded = {name for edge in graph.bidirected for name in edge}
        exact = {name for name in kinds if confounded and name not in confounded and not kinds[name].event_shape}
        sizes = latents(kinds, latent, exact)

        def node(name: str, kind: Variable) -> Node:
            if sizes[name]:
                return VAENode(kind, sizes[name], hidden=hidden, beta=beta)
            widths = Network(hidden).hidden
            return node_for(kind, Spline(), widths) if name in exact else decoder_for(kind, widths)

        super().__init__(graph, {name: node(name, kind) for name, kind in kinds.items()}, confounder_dim)
        self.latent, self.hidden, self.beta = sizes, hidden, beta


def latents(
    variables: Mapping[str, Variable], latent: int | Mapping[str, int], exact: Collection[str] = ()
) -> dict[str, int]:
    """Dimensions of each variable's latent; discrete and exact ones have none unless they are given one by name.

    Raises:
        ModelError: dimensions that are no integers from 0.
        UnknownVariableError: a name that is no variable.
    """
    named = latent if isinstance(latent, Mapping) else {}
    for name in named:
        if name not in variables:
            raise unknown_variable(name, variables)
    usual = checked_count(2 if isinstance(latent, Mapping) else latent, "latent")
    sizes = {}
    for name, kind in variables.items():
        size = named.get(name, 0 if isinstance(kind, Discrete) or name in exact else usual)
        sizes[name] = checked_count(size, f"the latent of {name!r}") if size != 0 else 0
    return sizes
