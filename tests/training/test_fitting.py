"""Training finds what is there, stops in time, repeats itself under a seed, and says which variable went wrong."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models.data import Binary, Categorical, Continuous
from causal_pyro_models.data.regimes import Intervened, Pairs
from causal_pyro_models.errors import DataError, FitError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models import CausalFlow, LocationScale, load, save
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.plots.diagnostics import plot_fit_history
from causal_pyro_models.scm.mechanisms.registry import mechanism
from causal_pyro_models.seeding import seeded
from causal_pyro_models.training.callbacks import TensorBoard
from causal_pyro_models.training.fitting import fit

TRIANGLE = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])
REAL = dict.fromkeys("ZXY", Continuous())


def linear(n, seed=0):
    """Z, X = .8 Z + U_X, Y = -.5 Z + 1.2 X + .7 U_Y with the noise, moved and scaled to show standardisation."""
    noise = np.random.default_rng(seed).normal(size=(3, n))
    z = noise[0]
    x = 0.8 * z + noise[1]
    y = -0.5 * z + 1.2 * x + 0.7 * noise[2]
    return pd.DataFrame({"Z": 50 + 10 * z, "X": x, "Y": 1e-3 * y})


def counterfactual(model, values, name, parents):
    """The variable under other parents, its noise kept."""
    old = {p: values[p] for p in model.graph.parents(name)}
    node = model.nodes[name]
    noise = mechanism(node.distribution(old)).abduct(values[name])
    return mechanism(node.distribution({**old, **parents})).forward(noise)


@pytest.fixture(scope="module")
def trained():
    model = CausalFlow(TRIANGLE, REAL)
    return model, fit(model, linear(2000), steps=150, batch_size=256, seed=0, progress=False)


def test_linear_gaussian_data_give_the_closed_form(trained):
    """Counterfactuals against the exact ones; 0.1 sd is over 4 standard errors of the 2,000-row regression at 2 sd."""
    model, _ = trained
    values = model.encode(linear(500, seed=1)).values
    with torch.no_grad():
        y = counterfactual(model, values, "Y", {"X": values["X"] + 2.0})
        error = (y - values["Y"]) / 1e-3 - 2.4
        assert float(error.abs().max()) < 0.15
        exact = torch.distributions.Normal(0.0, 1.0)
        z = (values["Z"] - 50) / 10
        u_x = values["X"] - 0.8 * z
        u_y = (values["Y"] / 1e-3 + 0.5 * z - 1.2 * values["X"]) / 0.7
        truth = sum(exact.log_prob(u) for u in (z, u_x, u_y)) - np.log(10 * 0.7 * 1e-3)
        divergence = (truth - model.log_prob(values)).mean()
    assert float(divergence) == pytest.approx(0.0, abs=0.02)  # KL of 9 parameters: 9 / 4000


def test_result_tells_the_course_of_the_training(trained):
    _, result = trained
    frame = result.to_dataframe()
    assert list(frame.columns) == ["loss", "validation", "learning_rate"]
    assert frame.index[0] == 0 and frame.index[-1] == result.steps
    assert frame["validation"].idxmin() == result.best_step
    assert result.seconds_per_step > 0


def test_same_seed_same_bits_and_the_global_state_untouched(trained):
    model, _ = trained
    before = torch.random.get_rng_state()
    again = CausalFlow(TRIANGLE, REAL)
    state = torch.random.get_rng_state()
    fit(again, linear(2000), steps=150, batch_size=256, seed=0, progress=False)
    assert torch.equal(torch.random.get_rng_state(), state) and not torch.equal(before, state)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    fit(again, linear(2000), steps=150, batch_size=256, seed=0, progress=False)  # training starts afresh
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    assert not dict(pyro.get_param_store())


def test_trained_model_survives_its_file(trained, tmp_path):
    model, _ = trained
    save(model, tmp_path / "model.safetensors")
    values = model.encode(linear(50, seed=2)).values
    assert torch.equal(load(tmp_path / "model.safetensors").log_prob(values), model.log_prob(values))


def test_skewed_heteroscedastic_noise_is_learned():
    """Y = X^2 + exp(X / 2) (e^{.5 U} - 1): better than half the gap of the linear model to the truth, nearly closed."""
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=(2, 4000))
    scale = np.exp(x / 2)
    data = pd.DataFrame({"X": x, "Y": x**2 + scale * np.expm1(0.5 * u)})
    model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), dict.fromkeys("XY", Continuous()))
    fit(model, data[:3000], steps=300, seed=0, progress=False)
    values = model.encode(data[3000:]).values
    normal = torch.distributions.Normal(0.0, 1.0)
    u, log_slope = torch.tensor(u[3000:]), torch.tensor(np.log(scale * 0.5 * np.exp(0.5 * u))[3000:])
    truth = float((normal.log_prob(torch.tensor(x[3000:])) + normal.log_prob(u) - log_slope).mean())
    with torch.no_grad():
        learned = float(model.log_prob(values).mean())
        changed = counterfactual(model, values, "Y", {"X": torch.tensor(0.5)})
    exact = 0.25 + np.exp(0.25) * np.expm1(0.5 * u.numpy())
    assert truth - learned < 0.1
    assert np.sqrt(np.mean((changed.numpy() - exact) ** 2)) < 0.2 * np.std(data["Y"])


def test_model_keeps_the_weights_that_did_best_on_the_held_out_units():
    class Ungated(CausalFlow):
        def finish(self, values, validation):
            pass

    data = linear(60)  # few enough to overfit
    model = Ungated(TRIANGLE, REAL)
    result = fit(model, data, steps=200, patience=50, learning_rate=0.05, seed=0, progress=False)
    assert result.best_step < result.steps
    with seeded(0):
        held_out = torch.randperm(60)[:6]
    with torch.no_grad():
        loss = -model.log_prob({name: value[held_out] for name, value in model.encode(data).values.items()}).mean()
    assert float(loss) == pytest.approx(min(result.history["validation"]), abs=1e-4)


def test_a_node_stays_simple_unless_more_is_proven():
    """X is spoiled, so it returns to least squares; the start of W is, so that W stays."""
    rng = np.random.default_rng(0)
    z, w = rng.normal(size=(2, 1000))
    model = CausalFlow(CausalGraph(["W", "Z", "X"], [("Z", "X")]), dict.fromkeys("WZX", Continuous()))
    data = model.encode({"W": w, "Z": z, "X": z + rng.normal(size=1000)})
    train, held_out = data[torch.arange(800)], data[torch.arange(800, 1000)]
    with seeded(0):
        model.initialise(train)
        before = {name: tensor.clone() for name, tensor in model.nodes["W"].state_dict().items()}
        with torch.no_grad():
            model.nodes["X"].flow.conditioner.others.normal_()
            model.nodes["W"].flow.start["mean"] += 2.0
        model.finish(train, held_out)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.nodes["W"].state_dict().items())
    assert not model.nodes["X"].flow.conditioner.others.any()


def noisy(n, seed=0):
    """Z, X = Z^2 + U_X and Y = Z + X + e^Z U_Y: only the noise of Y depends on a parent."""
    z, *u = np.random.default_rng(seed).normal(size=(3, n))
    x = z**2 + 0.5 * u[0]
    return {"Z": z, "X": x, "Y": z + x + np.exp(z) * u[1]}


def test_what_the_start_settles_is_not_trained():
    """The start of Z and X stays, and the loss on the training data is that of all variables."""
    seen = {}

    class Watched(CausalFlow):
        def initialise(self, batch, prepare):
            super().initialise(batch, prepare)
            seen.update(self.state_dict(), settled=self.settled)

        def finish(self, train, validation):
            seen["after"] = {name: tensor.clone() for name, tensor in self.state_dict().items()}

    model = Watched(TRIANGLE, REAL)
    seen.clear()
    result = fit(model, noisy(3000), steps=100, seed=0, progress=False)
    assert seen["settled"] == {"Z", "X"} and result.steps == 100
    for name, tensor in seen["after"].items():
        assert torch.equal(tensor, model.state_dict()[name])
    assert result.history["loss"][-1] == pytest.approx(result.history["validation"][-1], abs=0.3)


@pytest.mark.parametrize("data", [linear(2000), {**noisy(2000), "Y": noisy(2000)["X"] + noisy(2000, 1)["Z"]}])
def test_additive_noise_leaves_nothing_to_train(data):
    model = CausalFlow(TRIANGLE, REAL)
    result = fit(model, data, seed=0, progress=False)
    assert result.steps == 0 and result.history["step"] == [0]
    assert plot_fit_history(result).lines
    with torch.no_grad():
        loss = -model.log_prob(model.encode(data).values).mean()
    assert result.history["validation"][0] == pytest.approx(float(loss), abs=0.3)


def test_half_of_an_odd_number_of_rows_may_be_held_out():
    """203 rows, 102 held out: one more than are trained on, of which there are enough to settle a normal law."""
    model = CausalFlow(TRIANGLE, REAL, LocationScale())
    assert fit(model, linear(203), validation=0.5, steps=3, seed=0, progress=False).steps == 0


def test_weights_pairs_and_gaps_leave_everything_to_train():
    data = linear(2000)
    model = CausalFlow(TRIANGLE, REAL)
    assert fit(model, data, steps=3, seed=0, progress=False).steps == 0
    gaps = data.assign(Y=data["Y"].mask(np.arange(2000) % 4 == 0))
    assert fit(model, gaps, steps=3, seed=0, progress=False).steps == 3
    pairs = Pairs(data[:50], data[:50].assign(X=1.0, Y=data["Y"][:50] + 1.2e-3 * (1.0 - data["X"][:50])), ["X"])
    assert fit(model, data, steps=3, seed=0, pairs=pairs, progress=False).steps == 3
    regimes = [data, Intervened(data[:500].assign(X=0.0), ["X"])]
    assert fit(model, regimes, steps=3, seed=0, intervention_weight=2.0, progress=False).steps == 3


def test_discrete_nodes_are_calibrated():
    """Class frequencies by stratum within 5 standard errors of the truth's (false alarm 1e-5 over 8 of them)."""
    rng = np.random.default_rng(1)
    n = 6000
    arm = rng.integers(0, 2, n)
    x = rng.normal(size=n)
    logits = np.stack([np.zeros(n), x * (2 * arm - 1), 0.5 * x**2 - 1.0], 1)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    level = (probability.cumsum(1) < rng.random((n, 1))).sum(1)
    sick = rng.random(n) < 1 / (1 + np.exp(-(level - 1.0 + arm)))
    data = pd.DataFrame(
        {
            "arm": np.array(["control", "drug"])[arm],
            "x": x,
            "level": np.array(["low", "mid", "top"])[level],
            "sick": sick,
        }
    )
    graph = CausalGraph.from_edges([("arm", "level"), ("x", "level"), ("level", "sick"), ("arm", "sick")])
    kinds = {
        "arm": Binary(("control", "drug")),
        "x": Continuous(),
        "level": Categorical(3, ("low", "mid", "top")),
        "sick": Binary(),
    }
    model = CausalFlow(graph, kinds, LocationScale(), hidden=(16,))
    fit(model, data, steps=300, seed=0, progress=False)
    with torch.no_grad():
        for a in (0.0, 1.0):
            for k in range(3):
                p = 1 / (1 + np.exp(-(k - 1.0 + a)))
                got = model.nodes["sick"].distribution({"level": torch.tensor(k), "arm": torch.tensor(a)}).probs
                assert float(got) == pytest.approx(p, abs=5 * np.sqrt(0.25 / (n / 8)))
        values = model.encode(data).values
        got = model.nodes["level"].distribution({"arm": values["arm"], "x": values["x"]}).probs.numpy()
    assert np.abs(got - probability).mean() < 0.03


def frame(**columns):
    data = linear(40)
    return data.assign(**columns)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (linear(40).drop(columns="Y"), UnknownVariableError, "unknown column 'Y'"),
        (linear(40).rename(columns={"Y": "Yy"}), UnknownVariableError, "Did you mean 'Yy'"),
        (frame(Y=np.nan), DataError, "'Y' has no values: all 40 are missing"),
        (frame(Y=np.inf), DataError, "'Y' has 40 infinite"),
        (frame(Y=1.0), DataError, "'Y' is constant"),
        (linear(40)[:0], DataError, "no rows"),
        (linear(10), DataError, "10 rows are too few"),
        ([1, 2], DataError, "DataFrame or a mapping"),
    ],
)
def test_bad_data_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        fit(CausalFlow(TRIANGLE, REAL), data, steps=1, progress=False)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"steps": 0}, QueryError),
        ({"batch_size": 1.5}, QueryError),
        ({"patience": True}, QueryError),
        ({"learning_rate": 0.0}, QueryError),
        ({"learning_rate": float("nan")}, QueryError),
        ({"validation": 0.0}, QueryError),
        ({"validation": 0.9}, QueryError),
        ({"seed": -1}, QueryError),
    ],
)
def test_bad_settings_are_refused(setting, error):
    with pytest.raises(error, match=next(iter(setting))):
        fit(CausalFlow(TRIANGLE, REAL), linear(40), progress=False, **setting)


def test_what_is_no_model_is_refused():
    with pytest.raises(FitError, match=r"torch.nn.Module .* got function"):
        fit(lambda: None, linear(40), progress=False)


class Faulty(CausalFlow):
    """A loss of Y, or only its gradient, that stops being a number half way."""

    finite_value = False

    def losses(self, values, progress):
        losses = super().losses(values, progress)
        if 0.5 <= progress < 1.0:
            fault = torch.sqrt(torch.zeros_like(losses["Y"]) * losses["Y"])
            losses["Y"] = losses["Y"] + (fault if self.finite_value else fault.log() * 0.0)
        return losses


@pytest.mark.parametrize("finite_value", [False, True])
def test_fault_names_the_variable_and_keeps_the_best_weights(finite_value):
    model = Faulty(TRIANGLE, REAL)
    model.finite_value = finite_value
    with pytest.raises(FitError, match=r"loss of Y is not finite at step 51 of fit, .* weights of step \d+") as fault:
        fit(model, linear(400), steps=100, patience=50, seed=0, progress=False)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert fault.value.variables == ("Y",) and len(fault.value.rows) == 360


def test_training_stops_when_validation_no_longer_improves():
    result = fit(CausalFlow(TRIANGLE, REAL), linear(60), steps=500, patience=3, seed=0, progress=False)
    assert result.steps == result.best_step + 30 < 500


def test_progress_bar_shows_the_loss(capsys):
    fit(CausalFlow(TRIANGLE, REAL), linear(60), steps=5, seed=0)
    assert "validation=" in capsys.readouterr().err


class Picky(CausalFlow):
    """A loss of Y that is not finite for some units."""

    def losses(self, batch, progress):
        losses = super().losses(batch, progress)
        losses["Y"] = losses["Y"] + torch.where(batch.values["Y"] > 1.0, torch.nan, 0.0).mean()
        return losses


def test_the_rows_at_fault_are_named():
    data = linear(200)
    data.loc[17, "Y"] = 2.0
    with pytest.raises(FitError, match=r"Y is not finite at step 1 of fit, on a batch with the rows 17\. The") as fault:
        fit(Picky(TRIANGLE, REAL), data, steps=5, batch_size=200, seed=1, progress=False)
    assert fault.value.rows == (17,)


def confounded(n, rng):
    """X = Z + U, Y = X - 2 Z + U: Z is hidden from the model X -> Y, whose slope is -.2 unless X is set."""
    z, *u = rng.normal(size=(3, n))
    x = z + 0.5 * u[0]
    return {"X": x, "Y": x - 2 * z + 0.5 * u[1]}


XY = CausalGraph(["X", "Y"], [("X", "Y")])


def slope(data, **settings):
    model = CausalFlow(XY, dict.fromkeys("XY", Continuous()), LocationScale(), hidden=(16,))
    fit(model, data, steps=200, seed=0, progress=False, **settings)
    with torch.no_grad():
        y = model.nodes["Y"].distribution({"X": torch.tensor([-1.0, 1.0])})
        value = y.transforms[-1].loc
    return model, float(value[1] - value[0]) / 2


def test_a_variable_that_was_set_teaches_its_effects_and_not_its_causes():
    """Where X was set it is 5 or 6; its own law stays that of the others, and Y's answer is learned from all rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1500)
    seen = {"X": x, "Y": 2 * x + rng.normal(size=1500)}
    far = rng.choice([5.0, 6.0], size=1500)
    trial = Intervened({"Y": 2 * far + rng.normal(size=1500)}, "X", {"X": far})
    model, _ = slope([seen, trial])
    with torch.no_grad(), pyro.plate("units", 20_000):
        sampled = model()["X"]
    assert abs(float(sampled.mean())) < 0.15 and abs(float(sampled.std()) - 1.0) < 0.1  # over 5 standard errors
    batch = model.encode([seen, trial])
    losses = model.losses(batch, 1.0)
    natural = -model.nodes["X"].log_prob(batch.values["X"], {}).masked_fill(batch.intervened["X"], 0.0)
    torch.testing.assert_close(losses["X"], natural.mean())


def test_the_weight_of_interventions_moves_the_answer_from_seeing_to_doing():
    """Seeing gives the slope 1 - 2 * 1 / 1.25 = -0.6, doing 1; a unit that weighs w is as good as w units."""
    rng = np.random.default_rng(1)
    set_to = rng.normal(size=1000) * np.sqrt(1.25)
    y = set_to - 2 * rng.normal(size=1000) + 0.5 * rng.normal(size=1000)
    data = [confounded(1000, rng), Intervened({"Y": y}, ["X"], {"X": set_to})]
    found = [slope(data, intervention_weight=weight)[1] for weight in (0.02, 1.0, 50.0)]
    assert found == pytest.approx([-0.6, 0.2, 1.0], abs=0.25)  # 4 standard errors of 2.1 / sqrt(1000 * 1.25) = .06


def test_true_pairs_mend_what_the_likelihood_leaves_open():
    """Y = X + 2 (1 - 2 [X > 0]) U is symmetric in U, so that its counterfactual is not in the density, but in pairs."""
    rng = np.random.default_rng(2)
    x, u = rng.normal(size=(2, 2000))
    sign = np.where(x > 0, -1.0, 1.0)
    y = x + u * (1.5 + 0.5 * sign)
    other = np.where(x > 0, -1.0, 1.0)
    twin = other + u * (1.5 + 0.5 * np.where(other > 0, -1.0, 1.0)) + 1.0 * other  # a shift that seeing does not show
    pairs = Pairs({"X": x[:1000], "Y": y[:1000]}, {"X": other[:1000], "Y": twin[:1000]}, "X")
    errors = []
    for given in ((), pairs):
        model = CausalFlow(XY, dict.fromkeys("XY", Continuous()), hidden=(16,))
        fit(model, {"X": x, "Y": y}, pairs=given, steps=200, seed=0, progress=False)
        values = {name: torch.tensor(v[1000:], dtype=torch.float32) for name, v in {"X": x, "Y": y}.items()}
        with torch.no_grad():
            answer = counterfactual(model, values, "Y", {"X": torch.tensor(other[1000:], dtype=torch.float32)})
        errors.append(float((answer - torch.tensor(twin[1000:])).square().mean().sqrt()))
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ("pairs", QueryError, "Pairs"),
        (Pairs(linear(30), linear(29), "X"), DataError, "30 factual units and 29"),
        (Pairs(linear(5), linear(5), "X"), DataError, "5 pairs are too few"),
        (Pairs(linear(30), linear(30), "Q"), UnknownVariableError, "'Q'"),
        (Pairs(linear(30).drop(columns="Y"), linear(30), "X"), UnknownVariableError, "'Y'"),
    ],
)
def test_bad_pairs_are_refused(pairs, error, message):
    with pytest.raises(error, match=message):
        fit(CausalFlow(TRIANGLE, REAL), linear(40), pairs=pairs, steps=1, progress=False)


def test_callbacks_see_every_validation_and_tensorboard_keeps_them(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = []
    result = fit(
        CausalFlow(TRIANGLE, REAL),
        linear(60),
        steps=10,
        seed=0,
        progress=False,
        callbacks=[lambda label, model, record: seen.append((label, record)), TensorBoard(tmp_path)],
    )
    assert [record["step"] for _, record in seen] == result.history["step"]
    assert {label for label, _ in seen} == {"fit"}
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("fit/validation")
    assert [event.value for event in events] == pytest.approx(result.history["validation"])


def test_the_history_can_be_plotted(trained):
    axes = plot_fit_history(trained[1])
    assert axes.get_xlabel() == "step"
    plt.close(axes.figure)


def test_a_model_without_weights_is_not_trained():
    class Doubled(Node):
        def distribution(self, parents):
            return dist.Normal(2.0 * sum(parents.values(), torch.zeros(())), 1.0)

    model = StructuralCausalModel(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": Doubled(), "Y": Doubled()})
    result = fit(model, {"X": torch.randn(50), "Y": torch.randn(50)}, seed=0, progress=False)
    assert result.steps == 0 and len(result.history["validation"]) == 1
