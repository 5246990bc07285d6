"""Causal generative models on Pyro: seeing, doing and imagining with any Pyro program.

Names are imported on first use, so that ``import causal_pyro_models.graph`` and the command line's ``--help`` do not
wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causal_pyro_models.errors import CausalError as CausalError
    from causal_pyro_models.errors import CausalWarning as CausalWarning
    from causal_pyro_models.graph import CausalGraph as CausalGraph
    from causal_pyro_models.inference import (
        NUTS as NUTS,
    )
    from causal_pyro_models.inference import (
        AmortizedGuide as AmortizedGuide,
    )
    from causal_pyro_models.inference import (
        Draws as Draws,
    )
    from causal_pyro_models.inference import (
        Estimate as Estimate,
    )
    from causal_pyro_models.inference import (
        ImportanceSampling as ImportanceSampling,
    )
    from causal_pyro_models.inference import (
        Noise as Noise,
    )
    from causal_pyro_models.inference import (
        Worlds as Worlds,
    )
    from causal_pyro_models.inference import (
        abduct as abduct,
    )
    from causal_pyro_models.inference import (
        ate as ate,
    )
    from causal_pyro_models.inference import (
        att as att,
    )
    from causal_pyro_models.inference import (
        cate as cate,
    )
    from causal_pyro_models.inference import (
        cde as cde,
    )
    from causal_pyro_models.inference import (
        counterfactual as counterfactual,
    )
    from causal_pyro_models.inference import (
        diagnose as diagnose,
    )
    from causal_pyro_models.inference import (
        dose_response as dose_response,
    )
    from causal_pyro_models.inference import (
        fit as fit,
    )
    from causal_pyro_models.inference import (
        fit_guide as fit_guide,
    )
    from causal_pyro_models.inference import (
        ite as ite,
    )
    from causal_pyro_models.inference import (
        nde as nde,
    )
    from causal_pyro_models.inference import (
        nie as nie,
    )
    from causal_pyro_models.inference import (
        odds_ratio as odds_ratio,
    )
    from causal_pyro_models.inference import (
        path_specific as path_specific,
    )
    from causal_pyro_models.inference import (
        pn as pn,
    )
    from causal_pyro_models.inference import (
        pns as pns,
    )
    from causal_pyro_models.inference import (
        ps as ps,
    )
    from causal_pyro_models.inference import (
        risk_ratio as risk_ratio,
    )
    from causal_pyro_models.inference import (
        sample as sample,
    )
    from causal_pyro_models.inference import (
        sbc as sbc,
    )
    from causal_pyro_models.inference import (
        to_inference_data as to_inference_data,
    )
    from causal_pyro_models.inference import (
        worlds as worlds,
    )
    from causal_pyro_models.models import (
        CausalFlow as CausalFlow,
    )
    from causal_pyro_models.models import (
        StructuralCausalModel as StructuralCausalModel,
    )
    from causal_pyro_models.models import (
        load as load,
    )
    from causal_pyro_models.models import (
        save as save,
    )
    from causal_pyro_models.scm import (
        Mechanism as Mechanism,
    )
    from causal_pyro_models.scm import (
        check_mechanism as check_mechanism,
    )
    from causal_pyro_models.scm import (
        exogenize as exogenize,
    )
    from causal_pyro_models.scm import (
        intervene as intervene,
    )
    from causal_pyro_models.scm import (
        mechanism as mechanism,
    )
    from causal_pyro_models.scm import (
        potential as potential,
    )
    from causal_pyro_models.scm import (
        quantile as quantile,
    )

__version__ = "0.1.0"

_HOMES = {
    "errors": "CausalError CausalWarning",
    "graph": "CausalGraph",
    "scm": "Mechanism check_mechanism exogenize intervene mechanism potential quantile",
    "models": "CausalFlow StructuralCausalModel load save",
    "inference": (
        "AmortizedGuide Draws Estimate ImportanceSampling NUTS Noise Worlds abduct ate att cate cde "
        "counterfactual diagnose dose_response fit fit_guide ite nde nie odds_ratio path_specific pn pns "
        "ps risk_ratio sample sbc to_inference_data worlds"
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
