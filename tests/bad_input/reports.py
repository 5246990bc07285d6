"""Diagnoses, conversions and calibration of what is none."""

import arviz
import numpy as np
import torch

from causal_pyro_models import ImportanceSampling, abduct, diagnose, sample, sbc, to_inference_data
from causal_pyro_models.datasets import sachs
from causal_pyro_models.errors import DataError, ModelError, QueryError, UnknownVariableError
from tests.bad_input.case import Bad
from tests.bad_input.models import negative_scale, silent
from tests.bad_input.programs import hidden, linear

IS = ImportanceSampling()
SEEN = {"X": [0.0, 1.0], "Y": [1.0, 1.0]}


def calibrate(evidence=("X",), model=hidden, method=IS, **settings):
    return sbc(
        model,
        method,
        evidence,
        **{"num_simulations": 20, "num_samples": 50, "num_ranked": 9, "seed": 0, "progress": False, **settings},
    )


CASES = [
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
    Bad("a conversion with an observed list", QueryError, ("observed", "dict", "list"), lambda: to_inference_data(posterior=abduct(linear, SEEN), observed=[1.0])),
    Bad("a conversion with a seed of -1", QueryError, ("seed", "-1"), lambda: to_inference_data(posterior=abduct(hidden, SEEN, IS, 200, seed=0), seed=-1)),
    Bad("calibration on no evidence", QueryError, ("evidence", "at least one"), lambda: calibrate(())),
    Bad("calibration on a name", QueryError, ("evidence", "'X'", "list"), lambda: calibrate("X")),
    Bad("calibration on None", QueryError, ("evidence", "None", "list"), lambda: calibrate(None)),
    Bad("calibration on an unknown site", UnknownVariableError, ("'Q'", "Z, X, Y"), lambda: calibrate(("Q",))),
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
