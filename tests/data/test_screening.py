"""Wild values and causes that determine each other are named, and those of ordinary tables are not."""

from __future__ import annotations

import numpy as np
import pytest

from causal_pyro_models.data import Binary, Categorical, Continuous, Count, Ordinal, Positive, encode
from causal_pyro_models.data.screening import indistinct_causes, screened, wild_values
from causal_pyro_models.errors import CausalWarning

REAL = Continuous()


def found(table, kinds=None, names=None):
    kinds = {name: (kinds or {}).get(name, REAL) for name in table}
    return indistinct_causes(encode(table, kinds), kinds, {"Y": tuple(names or table)})


def columns(n=400, width=4, seed=0):
    r = np.random.default_rng(seed)
    return {f"X{i}": r.normal(size=n) for i in range(width)}


@pytest.mark.parametrize(
    ("twin", "how"),
    [
        (lambda x: x, "a linear function"),
        (lambda x: 32 + 1.8 * x, "a linear function"),
        (lambda x: 1.7e9 - 1e5 * x, "a linear function"),
        (lambda x: 1e-30 * x, "a linear function"),
        (np.exp, "a one-to-one function"),
        (lambda x: -(x**3), "a one-to-one function"),
    ],
)
def test_copies_and_functions_of_a_cause_are_named(twin, how):
    table = columns()
    table["T"] = twin(table["X1"])
    (group,) = found(table)
    assert set(group.causes) == {"X1", "T"} and how in group.how
    assert str(group).startswith("among the causes of Y, ") and "X1 and T" in str(group).replace("T and X1", "X1 and T")


def test_a_linear_combination_is_named_with_its_parts_alone():
    table = columns()
    table["T"] = 2 * table["X0"] - 3 * table["X2"] + 1
    (group,) = found(table)
    assert set(group.causes) == {"X0", "X2", "T"} and "linear combination" in group.how


def test_a_recoded_class_and_one_that_follows_from_another_are_named():
    r = np.random.default_rng(0)
    city = r.integers(0, 4, 400)
    region, code = np.array(["n", "n", "s", "s"])[city], np.array(["d", "a", "c", "b"])[city]
    kinds = {"city": Categorical(4), "region": Binary(("n", "s")), "code": Categorical(4, ("a", "b", "c", "d"))}
    table = {"city": city, "code": code, "X": r.normal(size=400)}
    (group,) = found(table, kinds)
    assert set(group.causes) == {"city", "code"}
    (group,) = found({"region": region, "city": city, "X": table["X"]}, kinds)
    assert set(group.causes) == {"city", "region"} and "region is" in group.how
    level = {"low": city, "high": 3 - city, "X": table["X"]}
    assert len(found(level, {"low": Ordinal(4), "high": Ordinal(4)})) == 1
    shuffled = np.array([2.0, 9.0, -1.0, 4.0])[city]
    (group,) = found({"city": city, "price": shuffled, "X": table["X"]}, {"city": Categorical(4)})
    assert set(group.causes) == {"city", "price"}


@pytest.mark.parametrize("seed", range(5))
def test_causes_that_only_go_together_are_not_named(seed):
    r = np.random.default_rng(seed)
    z = r.normal(size=500)
    group = r.integers(0, 3, 500)
    table = {
        "Z": z,
        "near": z + 1e-3 * r.normal(size=500),
        "square": z**2,
        "rounded": np.round(z, 1),
        "group": group,
        "other": np.where(r.random(500) < 0.99, group, r.integers(0, 3, 500)),
        "count": r.poisson(3, 500),
        "sign": (z > 0).astype(int),
    }
    kinds = {"group": Categorical(3), "other": Categorical(3), "count": Count(), "sign": Binary()}
    assert found(table, kinds) == []


def test_as_many_columns_as_rows_tell_nothing():
    assert found(columns(n=25, width=20)) == []


def test_a_single_cause_and_rows_that_miss_values_do_no_harm():
    table = columns()
    table["T"] = np.where(np.arange(400) % 3 == 0, np.nan, table["X0"])
    assert found(table, names=["T"]) == []
    assert set(found(table)[0].causes) == {"X0", "T"}


def wild(column, kind=REAL):
    kinds = {"X": kind}
    return wild_values(encode({"X": column}, kinds), kinds)


@pytest.mark.parametrize("value", [1e6, -1e6, 60.0])
@pytest.mark.parametrize("rows", [60, 2000])
def test_a_wild_value_is_named_with_its_row(value, rows):
    column = np.random.default_rng(0).normal(size=rows)
    column[17] = value
    (line,) = wild(column)
    assert line.startswith("column 'X' has 1 wild value (") and f"{value:g} in row 17" in line


def test_a_code_for_no_answer_is_named_with_the_first_of_its_rows():
    column = np.random.default_rng(0).normal(50, 10, 1000)
    column[100:130] = -99999
    (line,) = wild(column)
    assert "30 wild values (-99999 in row 100, -99999 in row 101" in line and "..." in line
    assert "all others lie from" in line


LAWS = {
    "normal": lambda r, n: r.normal(size=n),
    "exponential": lambda r, n: r.exponential(size=n),
    "lognormal": lambda r, n: r.lognormal(size=n),
    "t with 5 degrees of freedom": lambda r, n: r.standard_t(5, size=n),
    "Poisson": lambda r, n: r.poisson(0.3, size=n).astype(float),
    "negative binomial": lambda r, n: r.negative_binomial(1, 0.1, size=n).astype(float),
    "zero-inflated": lambda r, n: np.where(r.random(n) < 0.8, 0.0, r.lognormal(size=n)),
    "two groups far apart": lambda r, n: r.normal(size=n) + 1e4 * (r.random(n) < 0.3),
    "whole numbers": lambda r, n: np.round(r.normal(5, 2, size=n)),
    "uniform": lambda r, n: r.random(n),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rows", [50, 2000])
def test_ordinary_tables_have_no_wild_values(law, rows):
    """Of 20 tables none: for the lognormal, whose tail is the longest, one in a thousand would have one."""
    for seed in range(20):
        assert wild(LAWS[law](np.random.default_rng(seed), rows)) == []


def test_of_counts_positive_numbers_and_values_that_miss():
    r = np.random.default_rng(0)
    counts = r.poisson(4, 300)
    counts[3] = 10**6
    assert "1e+06 in row 3" in wild(counts, Count())[0]
    prices = np.where(np.arange(300) == 9, 1e9, r.lognormal(size=300))
    prices[:5] = np.nan
    assert "1e+09 in row 9" in wild(prices, Positive())[0]
    assert wild(np.full(30, 2.0)) == [] and wild(np.stack([prices, prices], 1), Continuous(2)) == []


def test_both_are_warned_of():
    table = columns()
    table["X1"] = table["X0"].copy()
    table["X2"][5] = 1e9
    kinds = dict.fromkeys(table, REAL)
    with pytest.warns(CausalWarning) as told:
        groups = screened(encode(table, kinds), kinds, {"Y": tuple(table)})
    assert [set(group.causes) for group in groups] == [{"X0", "X1"}]
    assert sorted("wild value" in str(warning.message) for warning in told) == [False, True]
