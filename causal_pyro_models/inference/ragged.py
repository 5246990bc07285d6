"""Units that miss a part of the evidence: abducted together with those that miss the same, and put in place again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TypeAlias

import torch

from causal_pyro_models.errors import AbductionError
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.draws import Noise
from causal_pyro_models.inference.program import Program

Group: TypeAlias = tuple[Conditioned, torch.Tensor]
"""Units with evidence on the same sites, and which they are."""


def alike(
    program: Program, data: Mapping[str, torch.Tensor], units: int, missing: Mapping[str, torch.Tensor]
) -> list[Group]:
    """Units in groups, by what they miss; see :func:`read_cells`."""
    if not missing:
        return [(Conditioned.given(program, data, units), torch.arange(units))]
    absent = torch.stack([mask.expand(units) for mask in missing.values()], 1).cpu()
    patterns, which = torch.unique(absent, dim=0, return_inverse=True)
    groups = []
    for i, pattern in enumerate(patterns.tolist()):
        rows = (which == i).nonzero()[:, 0]
        left_out = {name for name, gone in zip(missing, pattern, strict=True) if gone}
        seen = {}
        for name in data:
            if name not in left_out:
                each = data[name].dim() > program.sites[name].place.event_dim and len(data[name]) > 1
                seen[name] = data[name][rows.to(data[name].device)] if each else data[name]
        groups.append((Conditioned.given(program, seen, len(rows)), rows))
    return groups


def joined(parts: Sequence[Noise], rows: Sequence[torch.Tensor]) -> Noise:
    """The noise of groups of units as that of all of them, each unit in its place.

    Weights are those of each unit; units without any have draws of equal weight.
    """
    first, units = parts[0], sum(map(len, rows))
    if any(set(part.sites) != set(first.sites) for part in parts):
        raise AbductionError(
            "units that miss different parts of the evidence come by different sites of the model: abduct them by "
            "themselves."
        )
    lead = 0 if first.num_draws is None else 1

    def placed(of: Callable[[Noise], torch.Tensor], dim: int = lead) -> torch.Tensor:
        values = [of(part) for part in parts]
        shape = [*values[0].shape[:dim], units, *values[0].shape[dim + 1 :]]
        whole = values[0].new_empty(shape, dtype=reduce(torch.promote_types, (value.dtype for value in values)))
        for value, where in zip(values, rows, strict=True):
            whole.index_copy_(dim, where.to(whole.device), value.to(whole.dtype))
        return whole

    def weights(part: Noise) -> torch.Tensor:
        if part.log_weights is not None:
            return part.log_weights
        return torch.full((part.num_draws or 1, part.units), -math.log(part.num_draws or 1))

    def per_unit(value: torch.Tensor | None, part: Noise, otherwise: float) -> torch.Tensor:
        return torch.full((part.units,), otherwise) if value is None else value.expand(part.units)

    shared = reduce(lambda a, b: a & b, (set(part.factual) for part in parts))
    weighted = any(part.log_weights is not None for part in parts)
    judged = any(part.pareto_k is not None for part in parts)
    sites = {name: placed(lambda part, n=name: part.sites[n]) for name in first.sites}  # type: ignore[misc]
    return replace(
        first,
        sites=sites,
        replay=sites,
        units=units,
        log_weights=placed(weights, 1) if weighted else None,
        ess=placed(lambda part: per_unit(part.ess, part, float(part.num_draws or 1)), 0),
        pareto_k=placed(lambda part: per_unit(part.pareto_k, part, 0.0), 0) if judged else None,
        factual={name: placed(lambda part, n=name: part.factual[n]) for name in shared},  # type: ignore[misc]
        chains=max(part.chains for part in parts),
        divergences=tuple(map(sum, zip(*(part.divergences for part in parts if part.divergences), strict=True))),
        exact=all(part.exact for part in parts),
    )
