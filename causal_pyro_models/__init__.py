"""Causal generative models on Pyro: seeing, doing and imagining with any Pyro program.

Names are imported on first use, so that ``import causal_pyro_models.graph`` and the command line's ``--help`` do not
wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from causal_pyro_models.extensions import registered_in

if TYPE_CHECKING:
    from causal_pyro_models.data import (
        Binary as Binary,
        Categorical as Categorical,
        Continuous as Continuous,
        Count as Count,
        Image as Image,
        Intervened as Intervened,
        Ordinal as Ordinal,
        Pairs as Pairs,
        Positive as Positive,
        infer_variables as infer_variables,
    )
    from causal_pyro_models.effects import (
        ate as ate,
        att as att,
        cate as cate,
        cde as cde,
        dose_response as dose_response,
        ett as ett,
        ite as ite,
        nde as nde,
        nie as nie,
        odds_ratio as odds_ratio,
        path_specific as path_specific,
        pn as pn,
        pns as pns,
        ps as ps,
        risk_ratio as risk_ratio,
    )
    from causal_pyro_models.errors import CausalError as CausalError, CausalWarning as CausalWarning
    from causal_pyro_models.estimate import Basis as Basis, Estimate as Estimate, Support as Support
    from causal_pyro_models.estimators import aipw as aipw, g_formula as g_formula, ipw as ipw
    from causal_pyro_models.evaluation import check_model as check_model
    from causal_pyro_models.graph import (
        CausalGraph as CausalGraph,
        adjustment_sets as adjustment_sets,
        frontdoor_sets as frontdoor_sets,
        instruments as instruments,
        is_adjustment_set as is_adjustment_set,
        minimal_adjustment_sets as minimal_adjustment_sets,
        optimal_adjustment_set as optimal_adjustment_set,
    )
    from causal_pyro_models.identification import (
        JointTable as JointTable,
        Query as Query,
        ate_bounds as ate_bounds,
        bounds as bounds,
        identify as identify,
        pn_bounds as pn_bounds,
        pns_bounds as pns_bounds,
        ps_bounds as ps_bounds,
        recover as recover,
        verify as verify,
    )
    from causal_pyro_models.independence import test_graph as test_graph
    from causal_pyro_models.inference import (
        NUTS as NUTS,
        AmortizedGuide as AmortizedGuide,
        Draws as Draws,
        ImportanceSampling as ImportanceSampling,
        Noise as Noise,
        Worlds as Worlds,
        abduct as abduct,
        counterfactual as counterfactual,
        diagnose as diagnose,
        fit_guide as fit_guide,
        impute as impute,
        probability as probability,
        sample as sample,
        sbc as sbc,
        soft as soft,
        to_inference_data as to_inference_data,
        with_posterior as with_posterior,
        worlds as worlds,
    )
    from causal_pyro_models.models import (
        AdditiveNoiseModel as AdditiveNoiseModel,
        CausalFlow as CausalFlow,
        CausalGAN as CausalGAN,
        CausalNormalizingFlow as CausalNormalizingFlow,
        CausalVAE as CausalVAE,
        NeuralCausalModel as NeuralCausalModel,
        Node as Node,
        StructuralCausalModel as StructuralCausalModel,
        load as load,
        register as register,
        save as save,
    )
    from causal_pyro_models.scm import (
        Mechanism as Mechanism,
        check_mechanism as check_mechanism,
        exogenize as exogenize,
        intervene as intervene,
        mechanism as mechanism,
        policy as policy,
        potential as potential,
        quantile as quantile,
    )
    from causal_pyro_models.training import FitResult as FitResult, TensorBoard as TensorBoard, fit as fit

__version__ = "0.1.0"

_HOMES = {
    "errors": "CausalError CausalWarning",
    "estimate": "Basis Estimate Support",
    "graph": (
        "CausalGraph adjustment_sets frontdoor_sets instruments is_adjustment_set minimal_adjustment_sets "
        "optimal_adjustment_set"
    ),
    "data": ("Binary Categorical Continuous Count Image Intervened Ordinal Pairs Positive infer_variables"),
    "identification": "JointTable Query ate_bounds bounds identify pn_bounds pns_bounds ps_bounds recover verify",
    "independence": "test_graph",
    "scm": "Mechanism check_mechanism exogenize intervene mechanism policy potential quantile",
    "models": (
        "AdditiveNoiseModel CausalFlow CausalGAN CausalNormalizingFlow CausalVAE NeuralCausalModel Node "
        "StructuralCausalModel load register save"
    ),
    "training": "FitResult TensorBoard fit",
    "inference": (
        "AmortizedGuide Draws ImportanceSampling NUTS Noise Worlds abduct counterfactual diagnose fit_guide "
        "impute probability sample sbc soft to_inference_data with_posterior worlds"
    ),
    "effects": ("ate att cate cde dose_response ett ite nde nie odds_ratio path_specific pn pns ps risk_ratio"),
    "estimators": "aipw g_formula ipw",
    "evaluation": "check_model",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
__all__ = ["__version__", *_HOME]

registered_in("evaluate_on", "causal_pyro_models.estimators.estimands")
registered_in("evaluate_on_samples", "causal_pyro_models.estimators.estimands")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
