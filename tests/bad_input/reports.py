"""Comparisons, diagnoses, conversions and calibration of what is none."""

import arviz
import numpy as np
import pandas as pd
import torch

from causal_pyro_models import ImportanceSampling, abduct, diagnose, sample, sbc, to_inference_data
from causal_pyro_models.data import Continuous
from causal_pyro_models.datasets import sachs
from causal_pyro_models.errors import AbductionError, DataError, ModelError, QueryError, UnknownVariableError
from causal_pyro_models.evaluation import agreement, correlation_gaps, distances, likelihood_gain, shifts
from tests.bad_input.case import Bad
from tests.bad_input.learned import flow
from tests.bad_input.models import negative_scale, silent
from tests.bad_input.programs import hidden, linear

nan = float("nan")
IS = ImportanceSampling()
SEEN = {"X": [0.0, 1.0], "Y": [1.0, 1.0]}


def calibrate(evidence=("X",), model=hidden, method=IS, **settings):
    return sbc(
        model,
        method,
        evidence,
        **{"num_simulations": 20, "num_samples": 50, "num_ranked": 9, "seed": 0, "progress": False, **settings},
    )


def frame(**columns):
    return pd.DataFrame(columns)


TWO = torch.tensor([0.0, 1.0])
X = {"X": Continuous()}

COMPARED = [
    Bad("a shift of a constant column", DataError, ("['X']", "constant", "leave them out"), lambda: shifts(frame(X=[1.0, 2.0]), frame(X=[1.0, 1.0]))),
    Bad("a shift of other columns", DataError, ("['X', 'Y']", "drop or add"), lambda: shifts(frame(X=[1.0, 2.0]), frame(Y=[1.0, 2.0]))),
    Bad("a shift with a missing value", DataError, ("treated", "['X']", "missing"), lambda: shifts(frame(X=[1.0, nan]), frame(X=[1.0, 2.0]))),
    Bad("a shift of strings", DataError, ("treated", "['X']", "no numbers"), lambda: shifts(frame(X=["a", "b"]), frame(X=[1.0, 2.0]))),
    Bad("a shift of one row", DataError, ("2", "1"), lambda: shifts(frame(X=[1.0]), frame(X=[1.0, 2.0]))),
    Bad("a shift of None", DataError, ("treated", "DataFrame", "NoneType"), lambda: shifts(None, frame(X=[1.0, 2.0]))),
    Bad("agreement of NaN", DataError, ("NaN", "leave them out"), lambda: agreement([nan], [1.0])),
    Bad("agreement of words", DataError, ("numbers", "'a'"), lambda: agreement(["a"], [1.0])),
    Bad("agreement of nothing", DataError, ("(0,)",), lambda: agreement([], [])),
    Bad("agreement over a word", QueryError, ("least", "'x'"), lambda: agreement([1.0], [1.0], least="x")),
    Bad("a distance of nothing", DataError, ("sampled", "'X'", "(0,)"), lambda: distances({"X": torch.zeros(0)}, {"X": TWO}, X)),
    Bad("a distance of NaN", DataError, ("reference", "'X'", "NaN"), lambda: distances({"X": TWO}, {"X": TWO * nan}, X)),
    Bad("a distance of lists", DataError, ("sampled", "'X'", "list"), lambda: distances({"X": [0.0, 1.0]}, {"X": TWO}, X)),
    Bad("a distance of no dict", DataError, ("reference", "dict", "Tensor"), lambda: distances({"X": TWO}, TWO, X)),
    Bad("correlations of an unknown variable", UnknownVariableError, ("'Y'", "X"), lambda: correlation_gaps({"X": TWO}, {"X": TWO}, {**X, "Y": Continuous()})),
    Bad("a likelihood without a variable", UnknownVariableError, ("'Y'", "X"), lambda: likelihood_gain(flow(), flow(), {"X": TWO})),
    Bad("a likelihood of None", ModelError, ("model", "NoneType"), lambda: likelihood_gain(None, flow(), {"X": TWO, "Y": TWO})),
    Bad("a likelihood of one unit", DataError, ("1 held-out", "2"), lambda: likelihood_gain(flow(), flow(), {"X": TWO[:1], "Y": TWO[:1]})),
]  # fmt: skip

REPORTED = [
    Bad("a diagnosis of None", QueryError, ("diagnose", "NoneType", "abduct"), lambda: diagnose(None)),
    Bad("a diagnosis of a tensor", QueryError, ("diagnose", "Tensor", "abduct"), lambda: diagnose(torch.zeros(10, 2))),
    Bad("a diagnosis of a dict", QueryError, ("diagnose", "dict"), lambda: diagnose({"X": torch.zeros(10)})),
    Bad("a diagnosis of a prior", QueryError, ("diagnose", "posterior"), lambda: diagnose(arviz.from_dict(prior={"X": np.zeros((1, 10))}))),
    Bad("a conversion of nothing", QueryError, ("nothing", "posterior"), lambda: to_inference_data()),
    Bad("a conversion of a tensor", QueryError, ("posterior", "Noise", "Tensor"), lambda: to_inference_data(posterior=torch.zeros(3))),
    Bad("a conversion of samples as posterior", QueryError, ("posterior", "Noise", "Draws"), lambda: to_inference_data(posterior=sample(linear, 3))),
    Bad("a conversion of a dict as prior", QueryError, ("prior", "Draws", "dict"), lambda: to_inference_data(prior={"X": [1.0]})),
    Bad("a conversion of a dict of worlds", QueryError, ("counterfactual", "Worlds", "dict"), lambda: to_inference_data(counterfactual={"a": 1})),
    Bad("a conversion with observed strings", DataError, ("'X'", "numbers"), lambda: to_inference_data(posterior=abduct(linear, SEEN), observed={"X": ["a", "b"]})),
    Bad("a conversion with a ragged list", DataError, ("'X'", "array of numbers"), lambda: to_inference_data(posterior=abduct(linear, SEEN), observed={"X": [[1.0], [1.0, 2.0]]})),
    Bad("a conversion with None observed", DataError, ("'X'", "numbers"), lambda: to_inference_data(posterior=abduct(linear, SEEN), observed={"X": None})),
    Bad("a conversion with an observed list", QueryError, ("observed", "dict", "list"), lambda: to_inference_data(posterior=abduct(linear, SEEN), observed=[1.0])),
    Bad("calibration on no evidence", QueryError, ("evidence", "at least one"), lambda: calibrate(())),
    Bad("calibration on a name", QueryError, ("evidence", "'X'", "list"), lambda: calibrate("X")),
    Bad("calibration on None", QueryError, ("evidence", "None", "list"), lambda: calibrate(None)),
    Bad("calibration on an unknown site", UnknownVariableError, ("'Q'", "Z, X, Y"), lambda: calibrate(("Q",))),
    Bad("calibration on a list of lists", UnknownVariableError, ("['X']", "Z, X, Y"), lambda: calibrate([["X"]])),
    Bad("calibration on a dict", QueryError, ("evidence", "list"), lambda: calibrate({"X": 1.0})),
    Bad("calibration by a method in words", AbductionError, ("method", "'exact'"), lambda: calibrate(method="exact")),
    Bad("calibration with alpha of NaN", QueryError, ("alpha", "nan"), lambda: calibrate(alpha=nan)),
    Bad("calibration with no rank", QueryError, ("num_ranked", "0"), lambda: calibrate(num_ranked=0)),
    Bad("calibration where nothing is open", QueryError, ("nothing",), lambda: calibrate(("X", "Y"), linear, None)),
    Bad("calibration with an alpha of two", QueryError, ("alpha", "2"), lambda: calibrate(alpha=2.0)),
    Bad("calibration with alpha in words", QueryError, ("alpha", "'small'"), lambda: calibrate(alpha="small")),
    Bad("calibration with no simulation", QueryError, ("num_simulations", "0"), lambda: calibrate(num_simulations=0)),
    Bad("calibration with half a simulation", QueryError, ("num_simulations", "0.5"), lambda: calibrate(num_simulations=0.5)),
    Bad("calibration with more ranks than draws", QueryError, ("num_ranked", "num_samples", "100"), lambda: calibrate(num_ranked=100)),
    Bad("calibration with a seed of -1", QueryError, ("seed", "-1"), lambda: calibrate(seed=-1)),
    Bad("calibration of a model without sites", ModelError, ("silent", "pyro.sample"), lambda: calibrate(model=silent)),
    Bad("calibration of a model that fails", ModelError, ("after site 'Z'", "scale"), lambda: calibrate(model=negative_scale)),
    Bad("cells of an unknown condition", UnknownVariableError, ("condition 'pms'", "'pma'"), lambda: sachs().under("pms")),
    Bad("cells of no condition", UnknownVariableError, ("condition None", "pma"), lambda: sachs().under(None)),
]  # fmt: skip

CASES = [*COMPARED, *REPORTED]
