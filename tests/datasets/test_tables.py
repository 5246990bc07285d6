"""The bundled tables are the published ones."""

import numpy as np
import pytest

from causal_pyro_models.datasets import lalonde, nhefs
from causal_pyro_models.errors import UnknownVariableError


def test_quitters_gained_as_published():
    """Hernán and Robins (2020), section 12.1: 1.98 kg among 1,163 who went on, 4.53 kg among 403 who stopped."""
    table = nhefs().dropna()
    means = table.groupby("qsmk")["wt82_71"].agg(["size", "mean"])
    assert means["size"].tolist() == [1163, 403]
    assert means["mean"].tolist() == pytest.approx([1.98, 4.53], abs=0.005)


def test_least_squares_finds_what_the_book_finds():
    """Section 13.1 has 3.5 with a product term of treatment and cigarettes; without, the coefficient is 3.46."""
    import pandas as pd

    table = nhefs().dropna()
    classes = pd.get_dummies(table[["education", "exercise", "active"]].astype(str), drop_first=True, dtype=float)
    numbers = table[["age", "smokeintensity", "smokeyrs", "wt71"]]
    columns = [np.ones(len(table)), table["qsmk"], table["sex"], table["race"], *classes.T.to_numpy()]
    columns += [*numbers.T.to_numpy(), *(numbers.T.to_numpy() ** 2)]
    found = np.linalg.lstsq(np.column_stack(columns), table["wt82_71"], rcond=None)[0]
    assert found[1] == pytest.approx(3.46, abs=0.01)


def test_the_experiment_has_its_effect_and_the_survey_another():
    """Dehejia and Wahba (1999), table 3: 1,794 in the experiment, -8,498 against the survey."""
    for controls, rows, effect in (("nsw", 445, 1794), ("cps", 16177, -8498)):
        table = lalonde(controls)
        means = table.groupby("treat")["re78"].mean()
        assert len(table) == rows and round(means[1] - means[0]) == effect
        assert (table["treat"] == 1).sum() == 185 and not table.isna().any(axis=None)


def test_other_controls_are_unknown():
    with pytest.raises(UnknownVariableError, match="nsw"):
        lalonde("psid")
