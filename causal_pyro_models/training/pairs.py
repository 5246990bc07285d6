"""True counterfactuals to learn from: what a model answers for them, differentiably."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from pyro import poutine
from torch import Tensor

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Count, Labelled
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.sites import role

if TYPE_CHECKING:
    from causal_pyro_models.data.batches import Batch
    from causal_pyro_models.models.node import Node
    from causal_pyro_models.models.structural import StructuralCausalModel


def pair_errors(model: StructuralCausalModel, factual: Batch, counterfactual: Batch) -> dict[str, Tensor]:
    """How far the answer of each real variable is from its true counterfactual, squared, in units of its variance.

    Each variable's noise is abducted from its factual value and causes, and its counterfactual predicted from that and
    the true counterfactual causes, so that one variable's error is not counted as another's. Variables that were set
    have no term, nor have labels and counts, whose answers have no gradient.

    Args:
        model: the model.
        factual: units as they were.
        counterfactual: the same units as they would have been.
    """
    before, after = dict(factual.values), dict(counterfactual.values)
    for name, confounder in model.confounders.items():
        before[name] = after[name] = confounder.draw_given(factual.values, factual.intervened)[0]
    found = {}
    for name, node in model.nodes.items():
        if isinstance(node.variable, Labelled | Count):
            continue
        answer = answered(node, name, before[name], model._parents(name, before), model._parents(name, after))
        error = (answer - after[name]).square().reshape(len(factual), -1).mean(1)
        if name in counterfactual.intervened:
            error = error.masked_fill(counterfactual.intervened[name], 0.0)
        variance = before[name].var()
        found[name] = error.mean() / torch.where(variance > 0, variance, 1.0)
    return found


def answered(node: Node, name: str, value: Tensor, causes: Values, others: Values) -> Tensor:
    """The value that a node would have had with other causes, on the noise that it had."""
    with poutine.block(), poutine.trace() as guide:
        node.guide(name, value, causes)
    latents: Any = {key: site["value"] for key, site in guide.trace.nodes.items() if site["type"] == "sample"}
    observe = poutine.condition(data={name: value})
    with poutine.block(), poutine.trace() as factual, poutine.condition(data=latents), Exogenize(), observe:
        node(name, causes)
    noise: Any = {key: site["value"] for key, site in factual.trace.nodes.items() if role(site) == "exogenous"}
    with poutine.block(), poutine.condition(data=noise), Exogenize():
        return cast(Tensor, node(name, others))
