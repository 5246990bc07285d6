"""Seeing, doing and imagining with any model: samples, abduction and its methods, worlds, and how good draws are.

Effects, which compare worlds, belong in ``effects``; how a model is trained belongs in ``training``.
"""

from causal_pyro_models.inference.abduction import Method, abduct
from causal_pyro_models.inference.calibration import Calibration, sbc
from causal_pyro_models.inference.diagnostics import Diagnosis, diagnose
from causal_pyro_models.inference.draws import Draws, Noise, Worlds
from causal_pyro_models.inference.enumeration import joint_table
from causal_pyro_models.inference.guides import AmortizedGuide, fit_guide
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.imputation import Imputation, impute
from causal_pyro_models.inference.inference_data import to_inference_data
from causal_pyro_models.inference.mcmc import NUTS
from causal_pyro_models.inference.measured import soft
from causal_pyro_models.inference.posteriors import with_posterior
from causal_pyro_models.inference.prediction import counterfactual, sample, worlds
from causal_pyro_models.inference.probability import probability

__all__ = [
    "NUTS",
    "AmortizedGuide",
    "Calibration",
    "Diagnosis",
    "Draws",
    "ImportanceSampling",
    "Imputation",
    "Method",
    "Noise",
    "Worlds",
    "abduct",
    "counterfactual",
    "diagnose",
    "fit_guide",
    "impute",
    "joint_table",
    "probability",
    "sample",
    "sbc",
    "soft",
    "to_inference_data",
    "with_posterior",
    "worlds",
]
