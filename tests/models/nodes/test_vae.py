"""Latents start in closed form, the bound is Pyro's, and hidden causes are found where the graph identifies effects."""

import math

import hypothesis.strategies as st
import pyro
import pytest
import torch
from hypothesis import given, settings
from pyro.infer import Trace_ELBO

from causal_pyro_models import exogenize, fit, intervene, sample
from causal_pyro_models.data.batches import Batch
from causal_pyro_models.data.regimes import Intervened
from causal_pyro_models.data.variables import Binary, Categorical, Continuous, Image
from causal_pyro_models.errors import ModelError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.latent import common_factors, principal_components
from causal_pyro_models.models.nodes.flow import FlowNode
from causal_pyro_models.models.nodes.vae import CausalVAE, VAENode
from causal_pyro_models.models.structural import StructuralCausalModel

KINDS = [Continuous(), Continuous(2), Binary(), Categorical(3), Image(1, 2, 2)]


def value_of(kind, units):
    if isinstance(kind, Binary):
        return torch.randint(0, 2, (units,)).double()
    if isinstance(kind, Categorical):
        return torch.randint(0, 3, (units,))
    return torch.rand(units, *kind.event_shape, dtype=torch.float64)


@settings(max_examples=8)
@given(
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    latent=st.integers(1, 2),
    confounded=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_the_loss_is_minus_pyros_evidence_lower_bound(kinds, latent, confounded, seed):
    """30 means of 20 draws each; beyond 5 standard errors (Student's t) with probability 6e-6 per example."""
    torch.manual_seed(seed)
    graph = CausalGraph(["A", "B"], [("A", "B")], [("A", "B")] if confounded else [])
    variables = dict(zip("AB", kinds, strict=True))
    values = {name: torch.cat([value_of(kind, 8)] * 20) for name, kind in variables.items()}
    model = CausalVAE(graph, variables, dict.fromkeys("AB", latent), hidden=(4,)).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_((0.1 if "encoder" in name else 0.3) * torch.randn_like(parameter))
            if name.endswith("encoder.bias"):  # far from the prior, so that the divergence counts
                parameter.copy_(torch.cat([torch.ones(len(parameter) // 2), -torch.ones(len(parameter) // 2)]))

    def explicit(observed):
        with pyro.plate("units", 160):
            return exogenize(pyro.condition(model, observed))()

    def guide(observed):
        with pyro.plate("units", 160):
            model.guide(observed)

    with torch.no_grad(), pyro.validation_enabled(False):
        bound = torch.tensor([Trace_ELBO().loss(explicit, guide, values) / 160 for _ in range(30)])
        ours = torch.stack([sum(model.losses(Batch(values), 1.0).values()) for _ in range(30)])
    error = math.sqrt((bound.double().var() + ours.var()) / 30)
    assert abs(float(bound.mean() - ours.mean())) < 5 * error + 1e-6


def test_the_weight_of_the_divergence_rises_to_beta():
    node = VAENode(beta=4.0, annealed=0.5)
    model = StructuralCausalModel(CausalGraph(["X"], []), {"X": node})
    value = torch.randn(5)
    with torch.no_grad():
        node.posterior.encoder.bias.copy_(torch.tensor([1.0, -1.0, -2.0, -2.0]))
    divergence = node.posterior.draw({"(value)": value})[1]
    losses = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        torch.manual_seed(0)
        losses.append(model.unit_losses({"X": value}, {}, progress)["X"])
    for loss, weight in zip(losses, (0.0, 2.0, 4.0, 4.0), strict=True):
        torch.testing.assert_close(loss - losses[0], weight * divergence)


def test_a_vector_starts_as_principal_components():
    """Two factors behind six columns explain nearly all of them from the first step on."""
    torch.manual_seed(0)
    factors = torch.randn(2_000, 2)
    value = factors @ torch.randn(2, 6) + 0.1 * torch.randn(2_000, 6)
    model = CausalVAE(CausalGraph(["V"], []), {"V": 6}, latent=2)
    model.initialise(Batch({"V": value}))
    node = model.nodes["V"]
    latent = node.encoded(value, {}).mean
    rebuilt = node.decoded({}, latent).mean
    assert float((rebuilt - value).square().mean() / value.var()) < 0.05
    torch.testing.assert_close(latent.std(0), torch.ones(2), rtol=0.15, atol=0.0)


def test_components_beyond_the_rank_are_noise():
    torch.manual_seed(0)
    column = torch.randn(5_000, 1)
    draws = principal_components(column, 3)
    torch.testing.assert_close(draws.std(0), torch.ones(3), rtol=0.06, atol=0.0)
    correlations = torch.cat([column, draws], 1).T.corrcoef()[0, 1:].abs()
    assert float(correlations[0]) > 0.25 and float(correlations[1:].max()) < 0.06


@pytest.mark.parametrize("strength", [0.3, 0.9])
def test_factors_of_an_instrument_graph_are_those_of_maximum_likelihood(strength):
    """Z -> X -> Y, X <-> Y: with the hidden cause as a regressor the slope of Y on X is the instrument's.

    50,000 units: the instrument's estimate errs by 0.006 (one standard error) at most.
    """
    torch.manual_seed(0)
    hidden, z = torch.randn(50_000), torch.randn(50_000)
    x = z + strength * hidden + 0.5 * torch.randn(50_000)
    y = 0.5 * x + strength * hidden + 0.5 * torch.randn(50_000)
    columns = [(c - c.mean()) / c.std() for c in (x, y, z)]
    draws = common_factors(torch.stack(columns[:2], 1), [columns[2][:, None], columns[0][:, None]], 1)
    design = torch.stack([columns[0], draws[:, 0]], 1)
    slope = torch.linalg.lstsq(design, columns[1][:, None]).solution[0, 0] * y.std() / x.std()
    assert float(slope) == pytest.approx(0.5, abs=0.03)


def effect(model):
    high, low = (sample(intervene(model, {"X": x}), 20_000, seed=0)["Y"].mean() for x in (1.0, 0.0))
    return float(high - low)


def test_effects_behind_a_front_door_and_by_an_instrument():
    """The naive slopes are 1.5 and 1.2; the fits of ten other seeds were within 0.05."""
    torch.manual_seed(0)
    hidden, u = torch.randn(5_000), torch.randn(5_000, 3)
    x = hidden + 0.7 * u[:, 0]
    m = 0.8 * x + 0.6 * u[:, 1]
    data = {"X": x, "M": m, "Y": 0.9 * m + 1.2 * hidden + 0.5 * u[:, 2]}
    graph = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "Y")])
    model = CausalVAE(graph, dict.fromkeys("XMY", 1), dict.fromkeys("XMY", 0))
    fit(model, data, steps=100, seed=0, progress=False)
    assert effect(model) == pytest.approx(0.72, abs=0.12)
    z = torch.randn(5_000)
    x = z + hidden + 0.5 * u[:, 0]
    data = {"Z": z, "X": x, "Y": 0.5 * x + 1.5 * hidden + 0.5 * u[:, 1]}
    graph = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], [("X", "Y")])
    model = CausalVAE(graph, dict.fromkeys("ZXY", 1), dict.fromkeys("ZXY", 0))
    fit(model, data, steps=100, seed=0, progress=False)
    assert effect(model) == pytest.approx(0.5, abs=0.1)


def test_interventions_tell_a_hidden_cause_from_an_effect():
    """X -> Y with X <-> Y: observations alone leave the naive slope of 1.3; a few experiments on X leave 0.5."""
    torch.manual_seed(0)
    hidden, u = torch.randn(2_400), torch.randn(2_400, 2)
    x = hidden + 0.5 * u[:, 0]
    x[1_500:] = torch.tensor([-1.0, 0.0, 1.0]).repeat(300)
    y = 0.5 * x + hidden + 0.5 * u[:, 1]
    graph = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])
    effects = []
    for experiments in ([], [Intervened({"X": x[1_500:], "Y": y[1_500:]}, ["X"])]):
        model = CausalVAE(graph, {"X": 1, "Y": 1}, {"X": 0, "Y": 0})
        fit(model, [{"X": x[:1_500], "Y": y[:1_500]}, *experiments], steps=100, seed=0, progress=False)
        effects.append(effect(model))
    assert effects[0] > 1.0
    assert effects[1] == pytest.approx(0.5, abs=0.12)


def test_latents_are_counted_by_variable():
    graph = CausalGraph(["A", "B", "C"], [("A", "B")])
    model = CausalVAE(graph, {"A": 1, "B": Binary(), "C": 4}, {"B": 1, "C": 3})
    assert model.latent == {"A": 2, "B": 1, "C": 3}
    sites = pyro.poutine.trace(model).get_trace().stochastic_nodes
    assert {"A.z", "B.z", "C.z"} <= set(sites)
    sites = pyro.poutine.trace(CausalVAE(graph, {"A": 1, "B": Binary(), "C": 4})).get_trace().stochastic_nodes
    assert "B.z" not in sites
    with pytest.raises(UnknownVariableError, match="D"):
        CausalVAE(graph, {"A": 1, "B": 1, "C": 1}, {"D": 1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.0}, "beta"),
        ({"annealed": 2.0}, "annealed"),
        ({"decoder": FlowNode(Continuous())}, "decoder"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        VAENode(Continuous(2), **settings)
