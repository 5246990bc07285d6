"""The density is the trace's, noise and values go to and fro exactly, and the model is a good Pyro citizen."""

import math

import hypothesis.strategies as st
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings

from causal_pyro_models.data import Binary, Categorical, Continuous, Count, Ordinal, Positive
from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import DataError, ModelError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference import abduct, counterfactual, sample
from causal_pyro_models.models import CausalFlow, LocationScale, Spline
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.mechanisms.registry import mechanism
from causal_pyro_models.training import fit

KINDS = (Continuous(), Positive(), Binary(), Categorical(3), Ordinal(3), Count())


def scramble(model: CausalFlow, size: float = 0.5) -> CausalFlow:
    """Random weights and statistics everywhere, as after a training."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith(("scale", "sd", "spread", "law_slopes")):
                tensor.copy_(0.5 + torch.rand_like(tensor))
            elif name.endswith("law_x"):
                tensor.copy_((0.2 + torch.rand_like(tensor)).cumsum(-1) * 5.0 / len(tensor) - 2.5)
            elif name.endswith(("open_units", "open_smooth")):
                tensor.fill_(float(torch.randint(2, ())))
            elif name.endswith("tabled"):
                tensor.fill_(bool(torch.randint(2, ())))
            elif name.endswith("table"):  # thresholds rise
                tensor.copy_(torch.randn_like(tensor).sort(-1).values)
            elif name.endswith("bends"):
                tensor.copy_(0.1 * size * torch.randn_like(tensor))
            elif not name.endswith(("low", "high", "law_y")) and "open" not in name and "pairs" not in name:
                tensor.copy_(size * torch.randn_like(tensor))
    return model


@st.composite
def flows(draw: st.DrawFn) -> CausalFlow:
    size = draw(st.integers(1, 5))
    names = [f"V{i}" for i in range(size)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    edges = [pair for pair in pairs if draw(st.booleans())]
    variables = {name: draw(st.sampled_from(KINDS)) for name in names}
    residual = draw(st.sampled_from((LocationScale(), Spline(), Spline(bins=3, bound=2.0))))
    torch.manual_seed(draw(st.integers(0, 1000)))
    return scramble(
        CausalFlow(CausalGraph(names, edges), variables, residual, draw(st.sampled_from(((8,), (6, 4))))).double()
    )


def units(model, *shape):
    """Values of the model in nested plates."""
    with pyro.plate_stack("units", shape):
        return model()


@settings(max_examples=40)
@given(model=flows(), shape=st.sampled_from([(), (4,), (2, 3)]))
def test_log_prob_equals_the_density_of_the_trace(model, shape):
    def run():
        return units(model, *shape)

    trace = pyro.poutine.trace(run).get_trace()
    trace.compute_log_prob()
    values = {name: trace.nodes[name]["value"] for name in model.graph.variables}
    expected = sum(trace.nodes[name]["log_prob"] for name in values)
    assert model.log_prob(values).shape == shape
    torch.testing.assert_close(model.log_prob(values), expected, rtol=1e-10, atol=1e-10)
    if shape == (4,):
        losses = sum(model.losses(Batch(values), 1.0).values())
        torch.testing.assert_close(losses, -expected.mean(), rtol=1e-10, atol=1e-10)


@settings(max_examples=40)
@given(model=flows())
def test_noise_and_value_determine_each_other(model):
    """In float32, to 1e-5 of the largest value."""
    model = model.float()
    with torch.no_grad():
        values = units(model, 500)
    for name, node in model.nodes.items():
        if model.variables[name] not in (Continuous(), Positive()):
            continue
        site = mechanism(node.distribution({p: values[p] for p in model.graph.parents(name)}))
        with torch.no_grad():
            error = site.forward(site.abduct(values[name])) - values[name]
        assert float(error.abs().max()) < 1e-5 * max(1.0, float(values[name].abs().max()))
        assert site.bijective


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), residual=st.sampled_from((LocationScale(), Spline(), Spline(bins=5, bound=3.0))))
def test_density_integrates_to_one_and_is_the_slope_of_the_noise(seed, residual):
    torch.manual_seed(seed)
    model = scramble(CausalFlow(CausalGraph(["X"], []), {"X": Continuous()}, residual).double())
    node = model.nodes["X"]
    x = torch.linspace(-80.0, 80.0, 400_001, dtype=torch.float64, requires_grad=True)
    density = node.log_prob(x, {}).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1.0, abs=1e-4)
    noise = mechanism(node.distribution({})).abduct(x)
    (slope,) = torch.autograd.grad(noise.sum(), x)
    expected = slope * torch.exp(-0.5 * noise**2) / math.sqrt(2 * math.pi)
    torch.testing.assert_close(density, expected, rtol=1e-6, atol=1e-9)
    assert bool((slope > 0).all())


def test_noise_is_standard_normal():
    """Kolmogorov-Smirnov on 20,000 draws: sqrt(n) D < 2.5 holds but with probability 2 exp(-2 * 2.5**2) = 7e-6."""
    torch.manual_seed(3)
    model = scramble(CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), dict.fromkeys("XY", Continuous())))
    with torch.no_grad():
        values = units(model, 20_000)
        noise = mechanism(model.nodes["Y"].distribution({"X": values["X"]})).abduct(values["Y"])
    cdf = torch.special.ndtr(noise.sort().values.double())
    n = len(cdf)
    assert float((cdf - (torch.arange(n) + 0.5) / n).abs().max() * math.sqrt(n)) < 2.5


@pytest.mark.parametrize("tabled", [False, True])
def test_gradients_reach_every_parameter(tabled):
    graph = CausalGraph(["B", "C", "X"], [("B", "C"), ("B", "X"), ("C", "X")])
    model = scramble(CausalFlow(graph, {"B": Binary(), "C": Categorical(3), "X": Continuous()}))
    for name, tensor in model.state_dict().items():
        if name.endswith(("open_units", "open_smooth")):
            tensor.fill_(1.0)
        elif name.endswith("tabled"):
            tensor.fill_(tabled)
    with torch.no_grad():
        values = units(model, 200)
    sum(model.losses(Batch(values), 1.0).values()).backward()
    for name, parameter in model.named_parameters():
        discrete = not name.startswith("_nodes.2")
        if not parameter.numel() or (discrete and name.endswith("table") != tabled):
            continue  # of no use: the functions that a binary variable has beside the first, and the other law
        assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name


def test_only_the_location_leaves_the_range_of_the_training_data():
    torch.manual_seed(0)
    x = torch.rand(500) * 2 - 1
    model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), dict.fromkeys("XY", Continuous()))
    model.initialise(Batch({"X": x, "Y": 3.0 * x + torch.randn(500)}))
    node = model.nodes["Y"]
    with torch.no_grad():
        for further in (node.flow.conditioner.others, node.flow.conditioner.slopes):
            further.normal_()
        features = node.features({"X": torch.tensor([10.0, 1000.0])})
        far = node.flow.given(features, features.shape[:-1])
    slope = (far.location[1] - far.location[0]) / 990.0
    torch.testing.assert_close(slope, torch.tensor(3.0), atol=0.5, rtol=0.0)  # 6 standard errors of the slope
    assert far.scale[0] == far.scale[1]


def test_a_parabola_goes_on_straight_as_over_the_last_tenth_of_its_range():
    """2 X^2 rises from 1.28 to 2 there, so by 10.8 more on the way to four times the edge of the data."""
    torch.manual_seed(0)
    x = torch.rand(2000) * 2 - 1
    model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), dict.fromkeys("XY", Continuous()))
    model.initialise(Batch({"X": x, "Y": 2.0 * x**2 + 0.3 * torch.randn(2000)}))
    node = model.nodes["Y"]
    with torch.no_grad():
        features = node.features({"X": torch.tensor([0.0, 1.0, 4.0])})
        location = node.flow.given(features, features.shape[:-1]).location
    assert not node.flow.conditioner.open_units.any()
    torch.testing.assert_close(location, torch.tensor([0.0, 2.0, 12.8]), atol=0.8, rtol=0.0)


@pytest.mark.parametrize("gate", ["open_units", "open_smooth", None])
def test_locations_go_on_straight_of_whichever_node(gate):
    """All nodes in one pass, far outside the data, against each node by itself."""
    graph = CausalGraph(["X", "Y", "Z"], [("X", "Y"), ("X", "Z")])
    model = scramble(CausalFlow(graph, dict.fromkeys("XYZ", Continuous()))).double()
    opened, closed = (model.nodes[name].flow.conditioner for name in "YZ")
    for conditioner in (opened, closed):
        conditioner.open_units.zero_()
        conditioner.open_smooth.zero_()
    if gate:
        opened.get_buffer(gate).fill_(1.0)
    values = {name: torch.tensor([-50.0, 0.5, 40.0, 90.0]).double() for name in "XYZ"}
    with torch.no_grad():
        alone = sum(
            node.log_prob(values[name], {"X": values["X"]} if name != "X" else {}) for name, node in model.nodes.items()
        )
        torch.testing.assert_close(model.log_prob(values), alone)
        for conditioner in (opened, closed):
            edge, span = conditioner.high, conditioner.high - conditioner.low
            (last, before), _ = conditioner(
                conditioner.center + conditioner.scale * torch.cat([edge, edge - 0.1 * span])
            )
            (_, _, *far), _ = conditioner(values["X"].unsqueeze(-1))
            slope = (last - before) / (0.1 * span * conditioner.scale)
            torch.testing.assert_close(far[1] - far[0], 50.0 * slope.squeeze())


NOISE = {  # made of a parent in (-1, 1), a normal and an exponential noise; and whether it is alike for all parents
    "normal": (lambda z, u, e: u, True),
    "skewed": (lambda z, u, e: (0.4 * u).exp(), True),
    "two modes": (lambda z, u, e: u + 3.0 * u.sign(), True),
    "another scale": (lambda z, u, e: (0.3 * z).exp() * u, False),
    "another skewness": (lambda z, u, e: z.sign() * (e - 1.0), False),
    "another shape": (lambda z, u, e: torch.where(z > 0, u, u.sign() + 0.1 * u), False),
}


@pytest.mark.parametrize("kind", NOISE)
def test_the_start_settles_a_node_whose_noise_is_the_same_whatever_the_parents(kind):
    torch.manual_seed(0)
    noise, alike = NOISE[kind]
    x, z = torch.randn(4000), 2.0 * torch.rand(4000) - 1.0
    y = torch.sin(2.0 * z) + x + noise(z, torch.randn(4000), -torch.rand(4000).log())
    graph = CausalGraph(["X", "Z", "Y"], [("X", "Y"), ("Z", "Y")])
    model = CausalFlow(graph, dict.fromkeys("XZY", Continuous()))
    model.initialise(Batch({"X": x, "Z": z, "Y": y}))
    assert model.settled == ({"X", "Z", "Y"} if alike else {"X", "Z"})


@pytest.mark.parametrize(("slope", "settled"), [(0.0, {"X", "V"}), (0.5, {"X"})])
def test_a_vector_is_settled_where_every_coordinate_is(slope, settled):
    torch.manual_seed(0)
    x, u = torch.randn(3000), torch.randn(3000, 2)
    v = torch.stack([x + u[:, 0], x + (slope * x).exp() * u[:, 1]], -1)
    model = CausalFlow(CausalGraph(["X", "V"], [("X", "V")]), {"X": 1, "V": 2})
    model.initialise(Batch({"X": x, "V": v}))
    assert model.settled == settled


def test_model_of_one_unit_broadcasts_an_intervened_parent():
    graph = CausalGraph(["X", "C", "Y"], [("X", "Y"), ("C", "Y")])
    model = scramble(CausalFlow(graph, {"X": Continuous(), "C": Categorical(3), "Y": Continuous()}))
    assert all(value.shape == () for value in model().values())
    with pyro.plate("units", 5), pyro.condition(data={"X": torch.tensor(1.0), "C": torch.tensor(2)}):
        assert model()["Y"].shape == (5,)


class Sum(Node):
    """A hand-written node: standard normal around the sum of the parents."""

    def distribution(self, parents):
        return dist.Normal(sum(parents.values(), torch.tensor(0.0)), 1.0)


def test_any_node_goes_into_a_structural_causal_model():
    graph = CausalGraph(["items", "a.b"], [("items", "a.b")])  # names that attributes could not have
    model = StructuralCausalModel(graph, {"items": Sum(), "a.b": Sum()})
    values = model()
    expected = dist.Normal(0.0, 1.0).log_prob(values["items"])
    expected = expected + dist.Normal(values["items"], 1.0).log_prob(values["a.b"])
    torch.testing.assert_close(model.log_prob(values), expected)


def test_bad_models_are_refused():
    graph = CausalGraph(["X", "Y"], [("X", "Y")])
    kinds = dict.fromkeys("XY", Continuous())
    with pytest.raises(ModelError, match="X <-> Y"):
        CausalFlow(CausalGraph(["X", "Y"], [], [("X", "Y")]), kinds)
    with pytest.raises(ModelError, match="for Y"):
        CausalFlow(graph, {"X": Continuous()})
    with pytest.raises(UnknownVariableError, match="'Z'"):
        CausalFlow(graph, {**kinds, "Z": Continuous()})
    with pytest.raises(ModelError, match="got 'real'"):
        CausalFlow(graph, {"X": Continuous(), "Y": "real"})
    with pytest.raises(ModelError, match="no node for Y"):
        StructuralCausalModel(graph, {"X": Sum()})
    with pytest.raises(UnknownVariableError, match="'Z'"):
        StructuralCausalModel(graph, {"X": Sum(), "Y": Sum(), "Z": Sum()})
    with pytest.raises(ModelError, match="at least 2 bins"):
        Spline(bins=1)
    with pytest.raises(ModelError, match="no value for Y"):
        CausalFlow(graph, kinds).log_prob({"X": torch.zeros(3)})
    with pytest.raises(DataError, match=r"'Y' is constant \(1.0\)"):
        CausalFlow(graph, kinds).initialise(Batch({"X": torch.randn(5), "Y": torch.ones(5)}))


def test_what_an_action_does_not_affect_keeps_its_value_and_is_not_computed_again(monkeypatch):
    graph = CausalGraph(["X", "Y", "Z"], [("X", "Y"), ("X", "Z")])
    model = scramble(CausalFlow(graph, dict.fromkeys("XYZ", Continuous())))
    with torch.no_grad():
        values = units(model, 50)
    expected = counterfactual(model, values, do={"Y": 0.5})
    run = []
    for name, node in model.nodes.items():
        law = node.distribution
        monkeypatch.setattr(
            node, "distribution", lambda parents, name=name, law=law: (run.append(name), law(parents))[1]
        )
    world = counterfactual(model, abduct(model, values), do={"Y": 0.5})
    assert run.count("Y") - run.count("X") == 1 and run.count("X") == run.count("Z")
    for name in graph.variables:
        assert torch.equal(world[name], expected[name])
    assert torch.equal(world["X"], values["X"]) and torch.equal(world["Z"], values["Z"])


def test_a_long_vector_is_regressions_and_one_that_is_too_long_is_refused():
    """60 coordinates of two factors: the correlations of what is drawn are those of the data, to 5 standard errors."""
    generator = torch.Generator().manual_seed(0)
    loading = torch.randn(2, 60, generator=generator)
    vector = torch.randn(1000, 2, generator=generator) @ loading + 0.5 * torch.randn(1000, 60, generator=generator)
    model = CausalFlow(CausalGraph(["V"], []), {"V": Continuous(60)})
    assert fit(model, {"V": vector}, seed=0, progress=False).steps == 0
    drawn = sample(model, 4000, seed=0)["V"]
    assert float((drawn.T.corrcoef() - vector.T.corrcoef()).abs().max()) < 5 * (1 / 1000 + 1 / 4000) ** 0.5
    with pytest.raises(ModelError, match=r"'V'.*at most 200 .*CausalVAE"):
        CausalFlow(CausalGraph(["V"], []), {"V": Continuous(700)})
