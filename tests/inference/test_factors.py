"""``pyro.factor`` weighs draws, or is refused by name: no verb drops it."""

import pyro
import pyro.distributions as dist
import pytest
import torch

import causal_pyro_models as cpm
from causal_pyro_models.errors import ModelError
from causal_pyro_models.evaluation import check_model
from causal_pyro_models.inference.enumeration import joint_table

pytestmark = pytest.mark.filterwarnings("ignore::causal_pyro_models.errors.CausalWarning")
QUIET = cpm.NUTS(num_warmup=100, num_chains=1, progress=False)


def tilted():
    """X ~ N(0, 1) tilted by exp(x - x^2 / 2): N(1/2, 1/2)."""
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.factor("tilt", x - 0.5 * x**2)
    pyro.sample("Y", dist.Normal(3.0 * x, 1.0))


def tilted_in_turns():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.factor("tilt", x - 0.5 * x**2 if x > 0 else x * (1.0 - 0.5 * x))
    pyro.sample("Y", dist.Normal(3.0 * x, 1.0))


def tilted_in_a_plate():
    s = pyro.sample("S", dist.Normal(0.0, 1.0))
    pyro.factor("tilt", s - 0.5 * s**2)
    with pyro.plate("rows", 3):
        pyro.sample("X", dist.Normal(s, 1.0))


def classes():
    k = pyro.sample("K", dist.Bernoulli(0.5))
    pyro.factor("tilt", k * torch.tensor(3.0).log())  # odds of 3


@pytest.mark.parametrize("model", [tilted, tilted_in_turns])
@pytest.mark.parametrize("method", [None, cpm.ImportanceSampling(), QUIET])
def test_abduction_and_worlds_weigh(model, method):
    """Bands of 5 standard errors of 400 draws at half efficiency."""
    if method is QUIET and model is tilted_in_turns:
        pytest.skip("as long as the other")
    noise = cpm.abduct(model, {}, method, num_samples=400, seed=0)
    assert abs(float(noise.mean("U_X")) - 0.5) < 5 * (0.5 / 200) ** 0.5
    world = cpm.counterfactual(model, noise, {})
    assert abs(float(world.mean("Y")) - 1.5) < 5 * ((9 * 0.5 + 1) / 200) ** 0.5


def test_effects_weigh():
    """Moving X to its square: 3 E[X^2 - X] = 3 (3/4 - 1/2); the error printed is that of a unit, of 4,000 draws."""
    found = cpm.ate(tilted, {"X": (lambda x: x, lambda x: x**2)}, "Y", num_samples=4_000, seed=0)
    assert abs(float(found.value) - 0.75) < 5 * float(found.standard_error) / 4_000**0.5


def test_probabilities_weigh():
    assert float(cpm.probability(classes, {"K": 1})) == pytest.approx(0.75, abs=1e-6)
    found = cpm.probability(tilted, lambda world: world["X"] > 0.5, num_samples=4_000, seed=0)
    assert float(found) == pytest.approx(0.5, abs=5 * (0.25 / 4_000) ** 0.5)


def test_a_factor_of_parameters_weighs_them():
    noise = cpm.abduct(tilted_in_a_plate, {}, num_samples=2_000, seed=0)
    assert abs(float(noise.parameters["S"].mean()) - 0.5) < 5 * (0.5 / 2_000) ** 0.5


def test_a_factor_that_ties_units_together_weighs_them_together():
    """Two standard normal units whose sum is tilted to N(0, 1/4): var(x1 + x2) = 1 / (1/2 + 4), not 2."""

    def model():
        with pyro.plate("rows", 2):
            x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.factor("tilt", -2.0 * x.sum(-1) ** 2)

    noise = cpm.abduct(model, {}, cpm.ImportanceSampling(), num_samples=4_000, seed=0)
    total = noise["U_X"].sum(-1)
    assert float(total.var()) == pytest.approx(1 / 4.5, rel=0.25)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: cpm.sample(model, 5),
        lambda model: cpm.sample(cpm.intervene(model, {"K": 1.0}), 5),
        lambda model: cpm.sbc(model, cpm.ImportanceSampling(), ["K"], 20, progress=False),
    ],
)
def test_what_cannot_weigh_refuses_it_by_name(ask):
    with pytest.raises(ModelError, match="'tilt'"):
        ask(classes)


def test_laws_and_checks_do_not_take_it():
    with pytest.raises(ModelError, match="observed"):
        joint_table(classes, ["K"])
    with pytest.raises(ModelError, match="'tilt'"):
        check_model(classes, {"K": [0.0, 1.0] * 20})
