"""Measured shifts by their definition, and how predictions are judged by them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from causal_pyro_models.errors import DataError, QueryError
from causal_pyro_models.evaluation import agreement, shifts

SHIFTS = st.lists(st.floats(-5.0, 5.0).map(lambda x: round(x, 3)), min_size=1, max_size=8)


# Measured shifts ------------------------------------------------------------------------------------------------------


def test_a_shift_is_the_difference_of_means_in_standard_deviations():
    draw = np.random.default_rng(0)
    before = pd.DataFrame({"X": draw.normal(5.0, 2.0, 40), "Y": draw.integers(0, 2, 40)})
    after = pd.DataFrame({"X": draw.normal(7.0, 1.0, 25), "Y": draw.integers(0, 2, 25)})
    table = shifts(after, before)
    for name in "XY":
        a, b = after[name].to_numpy(), before[name].to_numpy()
        sd = np.sqrt(((b - b.mean()) ** 2).sum() / 39)
        error = np.sqrt(a.var(ddof=1) / 25 + b.var(ddof=1) / 40)
        np.testing.assert_allclose(table.loc[name, "shift"], (a.mean() - b.mean()) / sd)
        np.testing.assert_allclose(table.loc[name, "standard_error"], error / sd)


def test_shifts_do_not_depend_on_units_or_on_the_order_of_columns():
    draw = np.random.default_rng(1)
    before, after = (pd.DataFrame(draw.normal(size=(30, 2)), columns=["X", "Y"]) for _ in range(2))
    one = shifts(after, before)
    pd.testing.assert_frame_equal(one, shifts(1_000.0 * after - 7.0, 1_000.0 * before - 7.0))
    pd.testing.assert_frame_equal(one, shifts(after[["Y", "X"]], before).loc[["X", "Y"]])
    same = shifts(before, before)
    assert (same["shift"] == 0).all()


def test_standard_errors_are_honest():
    """A shift by one of N(0, 1) with 100 treated and 2,000 untreated units: of 1,000, 95% within 1.96 standard errors.

    92.5% to 97.5% are accepted; a true coverage of 95% falls outside with probability 5e-4.
    """
    draw = np.random.default_rng(2)
    inside = 0
    for _ in range(1_000):
        before, after = pd.DataFrame({"X": draw.normal(size=2_000)}), pd.DataFrame({"X": draw.normal(1.0, 1.0, 100)})
        row = shifts(after, before).loc["X"]
        inside += abs(row["shift"] - 1.0) <= 1.96 * row["standard_error"]
    assert 0.925 < inside / 1_000 < 0.975


@pytest.mark.parametrize("rows", [(1, 5), (5, 1)])
def test_a_single_unit_has_no_shift(rows):
    treated, untreated = (pd.DataFrame({"X": np.arange(float(n))}) for n in rows)
    with pytest.raises(DataError, match=f"got {rows[0]} and {rows[1]}"):
        shifts(treated, untreated)


def test_tables_without_a_scale_or_in_common_are_refused():
    before = pd.DataFrame({"X": [0.0, 1.0, 2.0], "Y": [1.0, 1.0, 1.0]})
    with pytest.raises(DataError, match=r"\['Y'\] are constant"):
        shifts(before, before)
    with pytest.raises(DataError, match=r"only one of the tables has the columns \['Y'\]"):
        shifts(before, before[["X"]])
    with pytest.raises(DataError, match=r"\['X'\] that are missing"):
        shifts(before.assign(X=[0.0, np.nan, 1.0]), before)


# Agreement ------------------------------------------------------------------------------------------------------------


@given(SHIFTS, st.floats(0.0, 1.0), st.randoms(use_true_random=False))
def test_every_count_by_its_definition(measured, least, random):
    predicted = [random.choice([0.0, x, -x, x / 2]) for x in measured]
    found = agreement(predicted, measured, least)
    pairs = list(zip(predicted, measured, strict=True))
    clear = [(p, m) for p, m in pairs if p and m and min(abs(p), abs(m)) >= least]
    assert found.count == len(pairs)
    assert found.error == pytest.approx((sum((p - m) ** 2 for p, m in pairs) / len(pairs)) ** 0.5)
    assert found.no_effect_error == pytest.approx((sum(m**2 for m in measured) / len(pairs)) ** 0.5)
    assert found.judged == len(clear)
    assert found.same_sign == sum((p > 0) == (m > 0) for p, m in clear)


@given(SHIFTS)
def test_a_perfect_prediction_and_its_opposite(measured):
    perfect, opposite = agreement(measured, measured), agreement([-x for x in measured], measured)
    assert perfect.error == 0.0 and perfect.same_sign == perfect.judged == opposite.judged
    assert opposite.same_sign == 0 and opposite.error == pytest.approx(2 * opposite.no_effect_error)


@given(SHIFTS)
def test_predicting_no_effect_is_as_good_as_no_effect_and_has_no_direction(measured):
    found = agreement([0.0] * len(measured), measured, least=0.0)
    assert found.error == found.no_effect_error
    assert found.judged == found.same_sign == 0


def test_a_shift_of_just_the_least_size_has_a_direction():
    assert agreement([0.1, 0.0999], [0.1, -5.0], least=0.1).judged == 1


def test_guessed_directions_are_right_half_of_the_time():
    """Of 10,000 independent guesses, 48% to 52%: beyond with probability 6e-5."""
    draw = np.random.default_rng(0)
    found = agreement(draw.normal(size=10_000), draw.normal(size=10_000), least=0.0)
    assert found.judged == 10_000 and abs(found.same_sign / 10_000 - 0.5) < 0.02
    assert found.error > found.no_effect_error


@pytest.mark.parametrize(
    ("predicted", "measured"),
    [([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([np.nan], [1.0]), ([1.0], [np.inf]), (["a"], [1.0])],
)
def test_shifts_that_cannot_be_compared(predicted, measured):
    with pytest.raises(DataError):
        agreement(predicted, measured)


@pytest.mark.parametrize("least", [-0.1, float("nan"), "0.1"])
def test_a_threshold_that_is_none(least):
    with pytest.raises(QueryError, match="least"):
        agreement([1.0], [1.0], least)
