"""The verbs: sample, abduct, counterfactual, effects, training and diagnostics."""

from causal_pyro_models.inference.abduction import Method, abduct
from causal_pyro_models.inference.adjusted import aipw, g_formula, ipw
from causal_pyro_models.inference.calibration import Calibration, sbc
from causal_pyro_models.inference.callbacks import Callback, TensorBoard
from causal_pyro_models.inference.diagnostics import Diagnosis, diagnose
from causal_pyro_models.inference.draws import Draws, Noise, Worlds
from causal_pyro_models.inference.effects import ate, att, cate, ett, ite
from causal_pyro_models.inference.estimate import Estimate
from causal_pyro_models.inference.gate import Basis
from causal_pyro_models.inference.guides import AmortizedGuide, fit_guide
from causal_pyro_models.inference.identified import joint_table
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.imputation import Imputation, impute
from causal_pyro_models.inference.inference_data import to_inference_data
from causal_pyro_models.inference.learners import LeastSquares, LogisticRegression
from causal_pyro_models.inference.mcmc import NUTS
from causal_pyro_models.inference.mediation import cde, nde, nie, path_specific
from causal_pyro_models.inference.prediction import counterfactual, sample, worlds
from causal_pyro_models.inference.probabilities import pn, pns, ps
from causal_pyro_models.inference.response import dose_response, odds_ratio, risk_ratio
from causal_pyro_models.inference.training import FitResult, fit
from causal_pyro_models.inference.uncertainty import Bootstrap, DeltaMethod

__all__ = [
    "NUTS",
    "AmortizedGuide",
    "Basis",
    "Bootstrap",
    "Calibration",
    "Callback",
    "DeltaMethod",
    "Diagnosis",
    "Draws",
    "Estimate",
    "FitResult",
    "ImportanceSampling",
    "Imputation",
    "LeastSquares",
    "LogisticRegression",
    "Method",
    "Noise",
    "TensorBoard",
    "Worlds",
    "abduct",
    "aipw",
    "ate",
    "att",
    "cate",
    "cde",
    "counterfactual",
    "diagnose",
    "dose_response",
    "ett",
    "fit",
    "fit_guide",
    "g_formula",
    "impute",
    "ipw",
    "ite",
    "joint_table",
    "nde",
    "nie",
    "odds_ratio",
    "path_specific",
    "pn",
    "pns",
    "ps",
    "risk_ratio",
    "sample",
    "sbc",
    "to_inference_data",
    "worlds",
]
