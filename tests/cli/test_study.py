"""What a run works on: rows held out, the fit to the others and its refits, and the baseline."""

import numpy as np
import pytest
import torch

from causal_pyro_models.cli.study import Settings, fit_study
from causal_pyro_models.data import Continuous
from causal_pyro_models.effects.averages import ate
from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from tests.cli.command import linear

CHAIN = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "Y")])
KINDS = dict.fromkeys(CHAIN.variables, Continuous())


def all_models(study):
    return (study.model, *study.refits, study.baseline)


def test_a_study_holds_a_fifth_out_and_fits_to_the_others():
    """Refits see halves of the training rows alone: with the held-out rows spoilt they come out the same."""
    data = linear(100)
    settings = Settings(2, 2, 7)
    study = fit_study(CHAIN, KINDS, data, settings)
    assert len(study.held_out) == 20 and len(study.train) == 80
    assert sorted([*study.held_out.index, *study.train.index]) == list(range(100))
    spoilt = data.copy()
    spoilt.loc[study.held_out.index] = 1e6
    again = fit_study(CHAIN, KINDS, spoilt, settings)
    seen = study.seen
    for one, other in zip(all_models(study), all_models(again), strict=True):
        assert torch.equal(one.log_prob(seen), other.log_prob(seen))
    assert fit_study(CHAIN, KINDS, data, Settings(2, 2, 8)).held_out.index.tolist() != study.held_out.index.tolist()


def test_the_baseline_is_least_squares():
    data = linear(200)
    study = fit_study(CHAIN, KINDS, data, Settings(1, 2, 0))
    x, m, y = (study.train[name].to_numpy() for name in "XMY")
    (onto_m, _), (direct, through_m, _) = (
        np.linalg.lstsq(np.column_stack([*parents, np.ones(len(x))]), child, rcond=None)[0]
        for parents, child in (([x], m), ([x, m], y))
    )
    effect = ate(study.baseline, {"X": (0.0, 1.0)}, "Y", num_samples=10, seed=0)
    np.testing.assert_allclose(effect.value, direct + onto_m * through_m, rtol=1e-4)


@pytest.mark.parametrize("settings", [(0, 2, 0), (1, 1, 0), (1, 2, -1), (1, 2, 2**32), (True, 2, 0)])
def test_settings_that_cannot_be(settings):
    with pytest.raises(QueryError):
        Settings(*settings)
