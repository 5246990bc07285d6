"""Causal generative models on Pyro: seeing, doing and imagining with any Pyro program.

Names are imported on first use, so that ``import causal_pyro_models.graph`` and the command line's ``--help`` do not
wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causal_pyro_models.errors import CausalError as CausalError, CausalWarning as CausalWarning
    from causal_pyro_models.graph import CausalGraph as CausalGraph
    from causal_pyro_models.identification import Query as Query, identify as identify, verify as verify
    from causal_pyro_models.inference import (
        NUTS as NUTS,
        AmortizedGuide as AmortizedGuide,
        Draws as Draws,
        Estimate as Estimate,
        ImportanceSampling as ImportanceSampling,
        Noise as Noise,
        Worlds as Worlds,
        abduct as abduct,
        aipw as aipw,
        ate as ate,
        att as att,
        cate as cate,
        cde as cde,
        counterfactual as counterfactual,
        diagnose as diagnose,
        dose_response as dose_response,
        ett as ett,
        fit as fit,
        fit_guide as fit_guide,
        g_formula as g_formula,
        impute as impute,
        ipw as ipw,
        ite as ite,
        nde as nde,
        nie as nie,
        odds_ratio as odds_ratio,
        path_specific as path_specific,
        pn as pn,
        pns as pns,
        ps as ps,
        risk_ratio as risk_ratio,
        sample as sample,
        sbc as sbc,
        to_inference_data as to_inference_data,
        worlds as worlds,
    )
    from causal_pyro_models.models import (
        CausalFlow as CausalFlow,
        CausalGAN as CausalGAN,
        CausalNormalizingFlow as CausalNormalizingFlow,
        CausalVAE as CausalVAE,
        Intervened as Intervened,
        NeuralCausalModel as NeuralCausalModel,
        StructuralCausalModel as StructuralCausalModel,
        infer_variables as infer_variables,
        load as load,
        save as save,
    )
    from causal_pyro_models.scm import (
        Mechanism as Mechanism,
        check_mechanism as check_mechanism,
        exogenize as exogenize,
        intervene as intervene,
        mechanism as mechanism,
        potential as potential,
        quantile as quantile,
    )

__version__ = "0.1.0"

_HOMES = {
    "errors": "CausalError CausalWarning",
    "graph": "CausalGraph",
    "scm": "Mechanism check_mechanism exogenize intervene mechanism potential quantile",
    "identification": "Query identify verify",
    "models": (
        "CausalFlow CausalGAN CausalNormalizingFlow CausalVAE Intervened NeuralCausalModel StructuralCausalModel "
        "infer_variables load save"
    ),
    "inference": (
        "AmortizedGuide Draws Estimate ImportanceSampling NUTS Noise Worlds abduct aipw ate att cate cde "
        "counterfactual diagnose dose_response ett fit fit_guide g_formula impute ipw ite nde nie odds_ratio "
        "path_specific pn pns ps risk_ratio sample sbc to_inference_data worlds"
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
