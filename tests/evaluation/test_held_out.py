"""Likelihood, distances and correlations against closed forms, and against failures made on purpose."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, strategies as st
from scipy.stats import ks_2samp, norm

from causal_pyro_models.data import Binary, Categorical, Continuous
from causal_pyro_models.errors import DataError, ModelError, UnknownVariableError
from causal_pyro_models.evaluation import correlation_gaps, distances, likelihood_gain
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.structural import StructuralCausalModel

CHAIN = CausalGraph.from_edges([("X", "Y")])


class Linear(Node):
    """A normal variable whose mean is linear in its parents."""

    def __init__(self, slope: float = 0.0, mean: float = 0.0, sd: float = 1.0) -> None:
        super().__init__()
        self.slope, self.mean, self.sd = slope, mean, sd

    def distribution(self, parents):
        return dist.Normal(self.mean + self.slope * sum(parents.values(), torch.tensor(0.0)), self.sd)


def chain(slope: float, mean: float = 0.0, sd: float = 1.0) -> StructuralCausalModel:
    return StructuralCausalModel(CHAIN, {"X": Linear(mean=mean, sd=sd), "Y": Linear(slope)})


def drawn(n: int, slope: float, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, generator=draw)
    return {"X": x, "Y": slope * x + torch.randn(n, generator=draw)}


# Likelihood -----------------------------------------------------------------------------------------------------------


def test_likelihoods_are_those_of_the_normal_density():
    data = drawn(50, 2.0)
    table = likelihood_gain(chain(2.0), chain(0.0, mean=1.0, sd=2.0), data)
    x, y = (data[name].double().numpy() for name in "XY")
    terms = {
        "model": {"X": norm.logpdf(x), "Y": norm.logpdf(y, 2.0 * x)},
        "baseline": {"X": norm.logpdf(x, 1.0, 2.0), "Y": norm.logpdf(y)},
    }
    for part in terms.values():
        part["all"] = part["X"] + part["Y"]
    assert table.index.tolist() == ["X", "Y", "all"]
    for row in table.index:
        gain = terms["model"][row] - terms["baseline"][row]
        want = [terms["model"][row].mean(), terms["baseline"][row].mean(), gain.mean(), gain.std(ddof=1) / 50**0.5]
        np.testing.assert_allclose(table.loc[row, ["model", "baseline", "gain", "standard_error"]], want, rtol=1e-5)


def test_a_model_has_no_gain_over_itself():
    table = likelihood_gain(chain(2.0), chain(2.0), drawn(20, 2.0))
    assert (table["gain"] == 0).all() and (table["standard_error"] == 0).all()


def test_the_gain_over_the_wrong_slope_is_half_its_squared_error():
    """KL of N(a x, 1) from N(b x, 1) over x ~ N(0, 1) is (a - b)^2 / 2, reached within 4 standard errors (6e-5)."""
    row = likelihood_gain(chain(2.0), chain(1.4), drawn(20_000, 2.0)).loc["Y"]
    assert abs(row["gain"] - 0.18) < 4 * row["standard_error"]
    worse = likelihood_gain(chain(1.4), chain(2.0), drawn(20_000, 2.0)).loc["Y"]
    assert worse["gain"] == pytest.approx(-row["gain"])


def test_standard_errors_are_honest():
    """Of 400 gains 95% lie within 1.96 standard errors of the divergence.

    91% to 98.5% are accepted; a true coverage of 95% falls outside with probability 8e-4.
    """
    inside = 0
    for seed in range(400):
        row = likelihood_gain(chain(2.0), chain(1.4), drawn(200, 2.0, seed)).loc["Y"]
        inside += abs(row["gain"] - 0.18) <= 1.96 * row["standard_error"]
    assert 0.91 < inside / 400 < 0.985


def test_the_error_of_the_whole_is_of_the_sum_and_not_the_sum_of_errors():
    """X and Y gain and lose the same unit by unit, so that their sum has no error."""
    graph = CausalGraph(["X", "Y"], [])
    model = StructuralCausalModel(graph, {"X": Linear(mean=1.0), "Y": Linear()})
    baseline = StructuralCausalModel(graph, {"X": Linear(), "Y": Linear(mean=1.0)})
    x = torch.randn(50, generator=torch.Generator().manual_seed(0))
    table = likelihood_gain(model, baseline, {"X": x, "Y": x})
    assert table.loc["X", "standard_error"] > 0.05
    np.testing.assert_allclose(table.loc["all", ["gain", "standard_error"]], 0.0, atol=1e-6)


def test_variables_are_matched_by_name_and_not_by_their_order():
    swapped = StructuralCausalModel(CausalGraph(["Y", "X"], [("X", "Y")]), {"X": Linear(), "Y": Linear(2.0)})
    table = likelihood_gain(chain(2.0), swapped, drawn(20, 2.0))
    assert table.index.tolist() == ["X", "Y", "all"]
    np.testing.assert_allclose(table["gain"], 0.0, atol=1e-7)


def test_models_of_other_variables_and_too_few_units_are_refused():
    other = StructuralCausalModel(CausalGraph(["X"], []), {"X": Linear()})
    for pair in ((chain(1.0), other), (other, chain(1.0))):
        with pytest.raises(ModelError, match="only one of the models has Y"):
            likelihood_gain(*pair, drawn(5, 1.0))
    with pytest.raises(DataError, match="1 held-out unit is too few"):
        likelihood_gain(chain(1.0), chain(1.0), drawn(1, 1.0))
    with pytest.raises(UnknownVariableError, match="'Y'"):
        likelihood_gain(chain(1.0), chain(1.0), {"X": torch.zeros(3)})


# Distances ------------------------------------------------------------------------------------------------------------

VALUES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


def tensors(*lists: list) -> list[torch.Tensor]:
    return [torch.tensor(values, dtype=torch.float32) for values in lists]


@given(VALUES, VALUES)
def test_real_variables_by_the_definition_of_kolmogorov_and_smirnov(first, second):
    a, b = tensors(first, second)
    gaps = [abs(np.mean(np.array(first) <= x) - np.mean(np.array(second) <= x)) for x in {*first, *second}]
    found = distances({"X": a}, {"X": b}, {"X": Continuous()})["X"]
    assert found == pytest.approx(max(gaps)) == pytest.approx(ks_2samp(first, second, method="asymp").statistic)


@given(VALUES, VALUES)
def test_discrete_variables_by_the_largest_difference_over_all_events(first, second):
    """Total variation is the most that the probabilities of any set of classes differ; all 2^7 sets are tried."""
    a, b = tensors(first, second)
    most = 0.0
    for event in range(2**7):
        inside = [(event >> (x + 3)) & 1 for x in first], [(event >> (x + 3)) & 1 for x in second]
        most = max(most, abs(np.mean(inside[0]) - np.mean(inside[1])))
    assert distances({"X": a}, {"X": b}, {"X": Categorical(7)})["X"] == pytest.approx(most)


@given(VALUES, VALUES, VALUES)
def test_they_are_metrics_from_0_to_1(first, second, third):
    a, b, c = tensors(first, second, third)
    for kind in (Continuous(), Categorical(7)):

        def apart(x, y, kind=kind):
            return distances({"X": x}, {"X": y}, {"X": kind})["X"]

        assert apart(a, a) == 0.0 and 0.0 <= apart(a, b) <= 1.0
        assert apart(a, b) == pytest.approx(apart(b, a))
        assert apart(a, c) <= apart(a, b) + apart(b, c) + 1e-12
        assert apart(a, a + 10.0) == pytest.approx(1.0)


def test_the_order_of_classes_does_not_matter_and_that_of_numbers_does():
    a, b = tensors([0, 0, 2, 2], [1, 1, 1, 1])
    turned = [torch.tensor([0.0, 2.0, 1.0])[x.long()] for x in (a, b)]
    kinds = {"C": Categorical(3), "N": Continuous()}
    found = [distances({"C": x, "N": x}, {"C": y, "N": y}, kinds) for x, y in ((a, b), turned)]
    assert found == [{"C": 1.0, "N": 0.5}, {"C": 1.0, "N": 1.0}]


def test_a_shift_of_a_normal_variable_has_its_known_distance():
    """Of N(0, 1) from N(m, 1): 2 Phi(m / 2) - 1, within 0.02 for 20,000 draws (a gap of 0.02 has probability 1e-3)."""
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(20_000, generator=draw), 0.5 + torch.randn(20_000, generator=draw)
    found = distances({"X": a}, {"X": b}, {"X": Continuous()})["X"]
    assert abs(found - (2 * norm.cdf(0.25) - 1)) < 0.02
    assert distances({"X": a}, {"X": a + 5.0}, {"X": Continuous()})["X"] > 0.98


def test_a_model_that_lost_a_class_is_found():
    seen, sampled = torch.tensor([0.0, 1.0, 2.0, 2.0]), torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert distances({"X": sampled}, {"X": seen}, {"X": Categorical(3)}) == {"X": 0.5}
    assert distances({"X": sampled.clamp(max=0)}, {"X": seen.clamp(max=1)}, {"X": Binary()}) == {"X": 0.75}


# Correlations ---------------------------------------------------------------------------------------------------------


def test_correlations_are_those_of_the_definition_and_sorted_by_their_gap():
    data = drawn(30, 1.0)
    data["B"] = (data["X"] > 0).float()
    other = {name: value.flip(0) if name == "Y" else value for name, value in data.items()}
    kinds = {"X": Continuous(), "Y": Continuous(), "B": Binary(), "C": Categorical(3)}
    found = correlation_gaps(other, data, {k: v for k, v in kinds.items() if k != "C"})
    assert {frozenset(pair) for pair in found[["first", "second"]].values} == {
        frozenset(pair) for pair in ("XY", "XB", "YB")
    }
    for _, row in found.iterrows():
        for column, values in (("sampled", other), ("reference", data)):
            a, b = (values[row[end]].double() for end in ("first", "second"))
            a, b = a - a.mean(), b - b.mean()
            want = float((a * b).sum() / math.sqrt(float((a * a).sum() * (b * b).sum())))
            assert row[column] == pytest.approx(want, abs=1e-9)
        assert row["gap"] == row["sampled"] - row["reference"]
    assert found["gap"].abs().is_monotonic_decreasing
    assert found["gap"].iloc[-1] == pytest.approx(0.0, abs=1e-12)  # X and B were left as they were


def test_the_gap_of_a_missing_edge_is_the_correlation_that_it_makes():
    """Y = X + noise has correlation 0.7071; a model without the edge, 0: a gap of -0.71, within 0.03.

    The standard errors of 20,000 draws are 0.0035 and 0.007, so that 0.03 is 3.8 of them (1e-4).
    """
    seen, sampled = drawn(20_000, 1.0), drawn(20_000, 0.0, 1)
    (row,) = correlation_gaps(sampled, seen, {"X": Continuous(), "Y": Continuous()}).to_dict("records")
    assert abs(row["gap"] + 0.5**0.5) < 0.03
    assert (row["first"], row["second"]) == ("X", "Y")


@pytest.mark.filterwarnings("error")
def test_what_has_no_correlation_is_left_out_without_a_warning():
    data = {**drawn(10, 1.0), "B": torch.zeros(10), "C": torch.arange(10) % 3}
    kinds = {"X": Continuous(), "B": Binary(), "C": Categorical(3), "Y": Continuous()}
    assert correlation_gaps(data, data, kinds)[["first", "second"]].values.tolist() == [["X", "Y"]]
    alone = correlation_gaps(data, data, {"X": Continuous(), "B": Binary()})
    assert alone.empty and "gap" in alone.columns
    varied = {**data, "B": (torch.arange(10) % 2).float()}
    for pair in ((data, varied), (varied, data)):
        assert len(correlation_gaps(*pair, kinds)) == 1
    assert len(correlation_gaps(varied, varied, kinds)) == 3
