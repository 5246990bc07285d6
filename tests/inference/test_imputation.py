"""Missing at random: the bound is on the right likelihood, effects are not biased, and draws are of the posterior."""

import copy
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest

from causal_pyro_models import CausalFlow, CausalGraph, ate, fit
from causal_pyro_models.data import Binary, Categorical, Continuous
from causal_pyro_models.data.batches import Batch, encode
from causal_pyro_models.errors import CausalWarning, DataError, ModelError, QueryError
from causal_pyro_models.inference.imputation import impute
from causal_pyro_models.models import LocationScale, missing
from causal_pyro_models.models.nodes.vae import CausalVAE, VAENode

TRIANGLE = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y"), ("Z", "Y")])
EFFECT = 1.2


def gaps(n, seed=0):
    """Z, X = .8 Z + U, Y = 1.2 X - .5 Z + .7 U', and X missing in 40% of the rows, the more likely the larger Y is."""
    rng = np.random.default_rng(seed)
    z, *u = rng.normal(size=(3, n))
    x = 0.8 * z + u[0]
    y = EFFECT * x - 0.5 * z + 0.7 * u[1]
    chance = 1 / (1 + np.exp(-2 * (y - np.quantile(y, 0.6))))
    absent = rng.random(n) < 0.4 * chance / chance.mean()
    return pd.DataFrame({"Z": z, "X": np.where(absent, np.nan, x), "Y": y})


@pytest.fixture(scope="module")
def trained():
    model = CausalFlow(TRIANGLE, dict.fromkeys("ZXY", 1), LocationScale(), hidden=(16,))
    fit(model, gaps(2000), steps=150, seed=0, progress=False)
    return model


def test_effects_of_incomplete_data_are_not_those_of_complete_rows(trained):
    """The regression on complete rows is off by .18; .08 is 4 standard errors of the full data's slope."""
    data = gaps(2000)
    whole = data.dropna()
    columns = np.column_stack([whole["X"], whole["Z"], np.ones(len(whole))])
    complete_case = np.linalg.lstsq(columns, whole["Y"], rcond=None)[0][0]
    assert abs(complete_case - EFFECT) > 0.12
    assert float(ate(trained, {"X": (0.0, 1.0)}, "Y", seed=0).value) == pytest.approx(EFFECT, abs=0.08)


def test_draws_are_of_the_posterior(trained):
    """X given Z and Y is normal with precision 1 + 1.44 / .49, an sd of .50; its mean is off by .04 to .13 by seed."""
    data = gaps(500, seed=1)
    absent = data["X"].isna().to_numpy()
    drawn = impute(trained, data, 400, seed=0)
    precision = 1 + EFFECT**2 / 0.49
    mean = (0.8 * data["Z"] + EFFECT * (data["Y"] + 0.5 * data["Z"]) / 0.49) / precision
    error = (drawn.mean("X").numpy() - mean)[absent]
    assert np.sqrt(np.mean(error**2)) < 0.2
    assert np.mean(drawn.std("X").numpy()[absent]) == pytest.approx(precision**-0.5, abs=0.05)
    assert drawn["X"].shape == (400, 500) and float(drawn.ess.min()) > 100
    for name in data:
        seen = ~data[name].isna().to_numpy()
        assert np.allclose(drawn[name][:, seen].numpy(), data[name][seen], atol=1e-6)
        assert not drawn.std(name).numpy()[seen].round(4).any()


def test_the_same_seed_draws_the_same(trained):
    data = gaps(50, seed=2)
    a, b = (impute(trained, data, 10, seed=5) for _ in range(2))
    assert torch.equal(a["X"], b["X"])
    assert a.table(seed=1).equals(b.table(seed=1))


GRAPH = CausalGraph(["A", "B", "C"], [("A", "B"), ("B", "C"), ("A", "C")])
KINDS = {"A": Binary(), "B": Categorical(3), "C": Binary()}


def discrete():
    """Random mechanisms, and a guide that draws every class alike."""
    model = CausalFlow(GRAPH, KINDS, hidden=(4,)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    model.impute_with(["A", "B"])
    with torch.no_grad():
        for parameter in model.imputer.parameters():
            parameter.zero_()
    return model


def exact(model, batch):
    """The log-likelihood of what is observed, by enumeration."""
    terms = []
    for a, b in itertools.product((0.0, 1.0), range(3)):
        a, b = torch.full((len(batch),), a, dtype=torch.float64), torch.full((len(batch),), b)
        possible = (batch.missing["A"] | (batch.values["A"] == a)) & (batch.missing["B"] | (batch.values["B"] == b))
        density = model.log_prob({"A": a, "B": b, "C": batch.values["C"]})
        terms.append(density.masked_fill(~possible, -torch.inf))
    return torch.stack(terms).logsumexp(0)


def patterns():
    """Every pattern of missing values with every value of what is observed."""
    rows = list(itertools.product((0.0, 1.0, None), (0, 1, 2, None), (0.0, 1.0)))
    return encode({name: [row[i] for row in rows] for i, name in enumerate("ABC")}, KINDS)


def test_the_bound_and_its_gradient_are_those_of_the_observed_likelihood(monkeypatch):
    """With 20,000 draws the bound is nearly tight: its bias is of order variance / 20,000, its noise 1 / 141."""
    torch.manual_seed(0)
    monkeypatch.setattr(missing, "DRAWS", 20_000)
    model, batch = discrete(), patterns()
    weights = [p for node in model.nodes.values() for p in node.parameters()]
    truth = -exact(model, batch).mean()
    loss = sum(model.losses(batch, 1.0).values())
    assert float(loss.detach()) == pytest.approx(float(truth.detach()), abs=0.02)
    pairs = zip(*(torch.autograd.grad(value, weights, allow_unused=True) for value in (truth, loss)), strict=True)
    for expected, got in pairs:
        torch.testing.assert_close(got, expected, atol=0.02, rtol=0.0)


def test_few_draws_bound_it_from_below(monkeypatch):
    """Mean over 2,000 repetitions of the batch, of standard error below .005; with many draws the gap is below .02."""
    torch.manual_seed(0)
    monkeypatch.setattr(missing, "DRAWS", 2)
    model, batch = discrete(), patterns()
    many = batch[torch.arange(len(batch)).repeat(2000)]
    with torch.no_grad():
        loss = float(sum(model.losses(many, 1.0).values()))
        assert loss > float(-exact(model, batch).mean()) + 0.02


def test_complete_units_have_their_own_loss():
    torch.manual_seed(1)
    model, batch = discrete(), patterns()
    whole = batch[batch.intact("A", "B")]
    losses, expected = model.losses(whole, 1.0), model.losses(Batch(whole.values), 1.0)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


def test_the_posterior_of_labels_is_that_of_enumeration_and_comes_back_as_labels():
    """300 rows of each kind; shares within 5 standard errors of 20,000 draws."""
    torch.manual_seed(2)
    kinds = {"A": Binary(("no", "yes")), "B": Categorical(3, ("x", "y", "z")), "C": Binary()}
    model = CausalFlow(GRAPH, kinds, hidden=(4,))
    model.load_state_dict(CausalFlow(GRAPH, KINDS, hidden=(4,)).state_dict())
    model.impute_with(["A", "B"])
    drawn = impute(model, {"A": [None, "yes"], "B": [None, None], "C": [1, 0]}, 20_000, seed=0)
    batch = model.encode({"A": [None], "B": [None], "C": [1]})
    every = torch.tensor(list(itertools.product((0.0, 1.0), (0.0, 1.0, 2.0))))
    density = model.log_prob({"A": every[:, 0], "B": every[:, 1].long(), "C": batch.values["C"].expand(6)})
    share = density.detach().softmax(0)
    got = torch.stack([(drawn["A"][:, 0] == a) & (drawn["B"][:, 0] == b) for a, b in every]).double().mean(1)
    assert (got - share).abs().max() < 5 * 0.5 / 20_000**0.5 * 2  # weights double the error at most
    table = drawn.table(seed=0)
    assert table["A"][1] == "yes" and table["B"].isin(["x", "y", "z"]).all() and table["C"].tolist() == [1, 0]


def test_what_cannot_be_imputed_is_refused(trained):
    complete = CausalFlow(TRIANGLE, dict.fromkeys("ZXY", 1), hidden=(4,))
    with pytest.raises(ModelError, match=r"trained on complete data .* X"):
        impute(complete, {"Z": [0.0], "X": [None], "Y": [0.0]})
    with pytest.raises(DataError, match="values of 'Z' are missing, and none was in the training data"):
        impute(trained, {"Z": [None], "X": [1.0], "Y": [0.0]})
    with pytest.raises(QueryError, match="num_samples"):
        impute(trained, gaps(5), 0)
    with pytest.raises(ModelError, match="StructuralCausalModel, got function"):
        impute(lambda: None, gaps(5))
    bad = copy.deepcopy(trained)
    with torch.no_grad():
        for parameter in bad.imputer.parameters():
            parameter.normal_(std=5.0)
    with pytest.warns(CausalWarning, match="raise num_samples"):
        impute(bad, gaps(50), 50, seed=0)


def test_a_stopped_training_on_incomplete_data_ends_with_the_same_bits(tmp_path):
    def stop(label, model, record):
        if record["step"] == 10:
            raise KeyboardInterrupt

    def model():
        return CausalFlow(TRIANGLE, dict.fromkeys("ZXY", 1), hidden=(8,))

    settings = {"steps": 20, "seed": 0, "progress": False}
    whole, part, again = model(), model(), model()
    fit(whole, gaps(200), **settings)
    with pytest.raises(KeyboardInterrupt):
        fit(part, gaps(200), checkpoint=tmp_path / "fit", callbacks=[stop], **settings)
    for resumed in (part, again):  # in the same process, and as in another
        fit(resumed, gaps(200), checkpoint=tmp_path / "fit", **settings)
        assert list(resumed.state_dict()) == list(whole.state_dict())
        assert all(
            torch.equal(a, b) for a, b in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True)
        )


def test_latents_are_weighed_by_what_they_make_of_the_value():
    """The mean weight is the density; by 200,000 draws of the prior it is known to about 1%, by the encoder better."""
    torch.manual_seed(0)
    node = VAENode(latent=1, hidden=(4,))
    node.connect({"A": Continuous()})
    with torch.no_grad():
        for parameter in node.parameters():
            parameter.normal_(std=0.3)
        value, parents = torch.tensor([0.5, -1.0, 2.0]), {"A": torch.tensor([0.0, 1.0, -1.0])}
        many, others = value.expand(200_000, 3), {"A": parents["A"].expand(200_000, 3)}
        weights = -node.draw_loss(many, others, 1.0)
        prior = node.decoded(others, torch.randn(200_000, 3)).log_prob(many)
    torch.testing.assert_close(weights.exp().mean(0), prior.exp().mean(0), rtol=0.03, atol=0.0)


def test_a_vae_learns_from_incomplete_data():
    """As the flow above; a VAE's effect is a little too small on complete data as well, hence .1."""
    model = CausalVAE(TRIANGLE, dict.fromkeys("ZXY", 1), latent=1, hidden=(16,))
    fit(model, gaps(2000), steps=150, seed=0, progress=False)
    assert float(ate(model, {"X": (0.0, 1.0)}, "Y", seed=0).value) == pytest.approx(EFFECT, abs=0.1)
    drawn = impute(model, gaps(200, seed=1), 400, seed=0)
    absent = gaps(200, seed=1)["X"].isna().to_numpy()
    assert np.mean(drawn.std("X").numpy()[absent]) == pytest.approx((1 + EFFECT**2 / 0.49) ** -0.5, abs=0.1)


def test_a_value_with_nothing_observed_below_it_comes_from_the_model_itself(trained):
    """Y missing, and X and Y missing: quantiles of the model's own conditional, no weights to be wrong. The model needs
    no guide for it. Kolmogorov-Smirnov: 1.8e-6 for each of three columns."""
    data = pd.DataFrame({"Z": [0.5, -1.0], "X": [1.0, np.nan], "Y": [np.nan, np.nan]})
    model = copy.deepcopy(trained)
    model.imputer = None
    drawn = impute(model, data, 2_000, seed=0)
    assert drawn.pareto_k.tolist() == [0.0, 0.0] and drawn.ess.tolist() == [2_000.0, 2_000.0]
    assert drawn.log_weights is None
    for name, unit in (("Y", 0), ("X", 1), ("Y", 1)):
        values = {v: drawn[v][:, unit] for v in ("Z", "X", "Y")}
        parents = {parent: values[parent] for parent in model.graph.parents(name)}
        noise = model.nodes[name].distribution(parents).cdf(values[name]).detach().double().numpy()
        assert kstest(noise, "uniform").statistic < 2.65 / 2_000**0.5, (name, unit)
    with pytest.raises(ModelError, match=r"trained on complete data .* values of X are missing"):
        impute(model, {"Z": [0.0], "X": [None], "Y": [1.0]})


def test_a_narrow_guide_is_made_up_for():
    """The guide draws one class almost always: half of the proposals come from the model, and the shares are right."""
    model = discrete()
    with torch.no_grad():
        for parameter in model.imputer.proposals["A"].parameters():
            parameter.zero_()
        list(model.imputer.proposals["A"].parameters())[-1].fill_(6.0)
    drawn = impute(model, {"A": [None], "B": [1], "C": [1]}, 4_000, seed=0)
    both = {"A": torch.tensor([0.0, 1.0]), "B": torch.tensor([1, 1]), "C": torch.ones(2)}
    share = model.log_prob(both).detach().softmax(0)[1]
    assert abs(float(drawn["A"].mean()) - float(share)) < 4 * 0.5 / 2_000**0.5
