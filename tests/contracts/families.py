"""Every model family, briefly trained on one table: what the contract suite runs on."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from causal_pyro_models.data.variables import Binary, Categorical, Continuous
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.functions import Linear, Network, Smooth
from causal_pyro_models.models.networks.laws import Gaussian, Laplace, Learned, Logistic, StudentT, Uniform
from causal_pyro_models.models.networks.scalar_flow import LocationScale, Spline
from causal_pyro_models.models.node import node_for
from causal_pyro_models.models.nodes.additive import AdditiveNoiseModel, AdditiveNoiseNode
from causal_pyro_models.models.nodes.flow import CausalFlow
from causal_pyro_models.models.nodes.gan import CausalGAN, GANNode
from causal_pyro_models.models.nodes.vae import CausalVAE, VAENode
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.seeding import seeded
from causal_pyro_models.training import fit

UNITS = 400
SCALARS = {"X": Continuous(), "B": Binary(), "K": Categorical(3), "Y": Continuous()}
EDGES = [("X", "B"), ("X", "K"), ("B", "K"), ("X", "Y"), ("B", "Y"), ("K", "Y")]
SMALL = (8,)  # widths of hidden layers


@dataclass(frozen=True)
class Family:
    """A model family in the suite.

    Args:
        build: makes an untrained model.
        exact: whether its noise is exact given the values, and it has a density.
        vector: whether the model has the vector V between K and Y as well.
        deviation: how far the law of noise abducted by a guide may be from the declared one, as a distance of
            distribution functions beyond what chance explains. Zero for exact families.
        without: the checks of ``check_model`` that the family does not pass, each with the reason.
    """

    build: Callable[[], StructuralCausalModel]
    exact: bool = True
    vector: bool = False
    deviation: float = 0.0
    without: Mapping[str, str] = field(default_factory=dict)


def graph(vector: bool = False, confounded: bool = False) -> CausalGraph:
    """The causal graph of the table."""
    variables, edges = list(SCALARS), list(EDGES)
    if vector:
        variables, edges = [*variables, "V"], [*edges, ("X", "V"), ("K", "V"), ("V", "Y")]
    return CausalGraph(variables, edges, [("X", "Y")] if confounded else [])


@functools.cache
def table(units: int = UNITS) -> dict[str, Tensor]:
    """The table: continuous, binary, categorical, a vector; with a hidden cause of X and Y."""
    with seeded(1):
        hidden, u = torch.randn(units), torch.randn(units, 6)
        x = 0.8 * hidden + 0.6 * u[:, 0]
        b = (x + u[:, 1] > 0.0).float()
        k = torch.distributions.Categorical(logits=torch.stack([x, b, -x], -1)).sample()
        v = torch.stack([x + 0.5 * u[:, 2], x**2 + k + 0.5 * u[:, 3] + 0.3 * u[:, 2]], -1)
        y = torch.sin(2.0 * x) + b * x + 0.5 * k + 0.3 * v.sum(-1) + 0.5 * hidden + 0.5 * (1.0 + b) * u[:, 4]
    return {"X": x, "B": b, "K": k, "V": v, "Y": y}


def _anm(*settings: object, **more: bool) -> Callable[[], StructuralCausalModel]:
    return lambda: AdditiveNoiseModel(graph(), SCALARS, *settings, **more)  # type: ignore[arg-type]


def _vector() -> dict[str, object]:
    return {**SCALARS, "V": 2}


def _hybrid() -> StructuralCausalModel:
    nodes = {
        "X": node_for(Continuous(), Spline(), SMALL),
        "B": GANNode(Binary(), hidden=SMALL),
        "K": node_for(Categorical(3), Spline(), SMALL),
        "V": VAENode(Continuous(2), latent=1, hidden=SMALL),
        "Y": AdditiveNoiseNode(Continuous(), Smooth(4), Laplace(), heteroscedastic=True),
    }
    return StructuralCausalModel(graph(vector=True), nodes)


NETWORK = Network(SMALL)
MOMENTS = {"losses": "uniform noise is fitted by its moments: its likelihood has no slope"}

FAMILIES = {
    "anm-linear": Family(_anm(Linear(), Gaussian())),
    "anm-smooth": Family(_anm(Smooth(5), StudentT(), heteroscedastic=True)),
    "anm-laplace": Family(_anm(NETWORK, Laplace())),
    "anm-logistic": Family(_anm(Network(SMALL, torch.nn.Tanh, torch.nn.LayerNorm), Logistic())),
    "anm-uniform": Family(_anm(NETWORK, Uniform()), without=MOMENTS),
    "anm-learned": Family(_anm(NETWORK, Learned(), heteroscedastic=True)),
    "flow-location-scale": Family(lambda: CausalFlow(graph(), SCALARS, LocationScale(), SMALL)),
    "flow-spline": Family(lambda: CausalFlow(graph(), SCALARS, Spline(), SMALL)),
    "flow-vector": Family(lambda: CausalFlow(graph(True), _vector(), hidden=SMALL), vector=True),
    "gan-scalar": Family(lambda: CausalGAN(graph(), SCALARS, hidden=SMALL)),
    "vae": Family(lambda: CausalVAE(graph(True), _vector(), 1, SMALL), False, True, 0.03),
    "gan": Family(lambda: CausalGAN(graph(True), _vector(), 1, SMALL), False, True, 0.05),
    "hybrid": Family(_hybrid, False, True, 0.03),
    "vae-confounded": Family(lambda: CausalVAE(graph(True, True), _vector(), 1, SMALL), False, True, 0.03),
    "gan-confounded": Family(lambda: CausalGAN(graph(True, True), _vector(), 1, SMALL), False, True, 0.05),
}


def trained(family: Family, seed: int = 0) -> StructuralCausalModel:
    """A model of the family, briefly trained."""
    with seeded(seed):
        model = family.build()
    columns = {name: table()[name] for name in model.variables}
    fit(model, columns, steps=20, batch_size=128, adversarial_steps=5, seed=seed, progress=False)
    return model


@functools.cache
def model_of(name: str) -> StructuralCausalModel:
    """The trained model of a family, made once; tests leave it as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return trained(FAMILIES[name])
