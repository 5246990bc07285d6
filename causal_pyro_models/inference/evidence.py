"""Evidence: read from what users have, checked against the model, and made observations of it."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger

from causal_pyro_models.data.coded import codes, in_cells
from causal_pyro_models.data.tables import as_columns
from causal_pyro_models.errors import CausalError, DataError, EvidenceError
from causal_pyro_models.inference.draws import Draws
from causal_pyro_models.inference.program import Program, Site, traced
from causal_pyro_models.scm.density import check_possible, check_support, log_density
from causal_pyro_models.scm.sites import all_finite, as_numbers, is_auxiliary, role, unknown_site
from causal_pyro_models.seeding import seeded


def read_evidence(program: Program, evidence: Any) -> tuple[dict[str, torch.Tensor], int]:
    """Evidence as tensors ``(units, *event)``, and the number of units, where all have all of it.

    Args:
        program: the inspected model.
        evidence: a DataFrame with a row for each unit, or a row of one; a dict from site to an array ``(units,
            *event)``, a scalar holding for every unit; or the :class:`Draws` of a world. A tensor holds the model's own
            values, and all else labels where the site has some.

    Raises:
        UnknownVariableError: a name that no site has.
        EvidenceError: values that are not numbers, not finite, of the wrong shape, or on a site that is intervened on.
    """
    data, units, missing = read_cells(program, evidence)
    for name, absent in missing.items():
        raise EvidenceError(
            f"evidence on {name!r} is NaN for {int(absent.sum())} of {units} units, and here all units must have it: "
            f"drop those units, or leave {name!r} out."
        )
    return data, units


def read_cells(program: Program, evidence: Any) -> tuple[dict[str, torch.Tensor], int, dict[str, torch.Tensor]]:
    """As :func:`read_evidence`, and which units miss the evidence on a site, ``(units,)``, where some do.

    A unit misses what is NaN, or None among labels; another unit's value stands in its place. What all units miss is
    left out. In a tensor nothing is missing.
    """
    evidence, follows = _by_site(program, evidence)
    data, missing, units = {}, {}, 1
    for name, value in evidence.items():
        if name not in program.sites:
            raise unknown_site(name, program.sites)
        site = program.sites[name]
        x, absent = _numbers(name, value, site), None
        finite = all_finite(x)
        if not (finite or program.plated or isinstance(value, torch.Tensor)):
            x, absent = _present(name, x, site)
        if absent is not None and bool(absent.all()):
            units = max(units, len(absent))
            continue
        if absent is not None:
            missing[name] = absent
        data[name] = _in_plates(program, site, _as_tensor(name, x, site, finite))
        if site.support is not None:
            check_support(name, site.support, data[name])
    for name, value in ({} if program.plated else data).items():
        if value.dim() == program.sites[name].place.event_dim:
            continue
        if units not in (1, len(value)) and len(value) != 1:
            raise EvidenceError(
                f"evidence on {name!r} has {len(value)} units where the evidence before it has {units}."
            )
        units = max(units, len(value))
    if follows:
        _check_follows(program, data, units, follows)
    return data, units, missing


def _by_site(program: Program, evidence: Any) -> tuple[Mapping[str, Any], Mapping[str, torch.Tensor]]:
    """Evidence by site; and of a world, beside it, what follows from the rest: its deterministic sites."""
    if isinstance(evidence, Draws):
        return _of_world(program, evidence)
    if hasattr(evidence, "to_frame") and all(isinstance(name, str) for name in evidence.index):  # a Series
        return {name: [value] for name, value in evidence.items()}, {}
    if isinstance(evidence, type) or not (isinstance(evidence, Mapping) or hasattr(evidence, "columns")):
        raise EvidenceError(
            f"evidence is a dict from site to values ({{}} for none), a DataFrame or one row of it, got "
            f"{type(evidence).__name__}."
        )
    if isinstance(evidence, Mapping):
        return evidence, {}
    if hasattr(evidence.columns, "duplicated"):
        if not len(evidence.columns):
            raise EvidenceError("evidence has no columns: give one for each site that was observed, or {} for none.")
        if twice := [name for name, again in zip(evidence, evidence.columns.duplicated(), strict=True) if again]:
            raise EvidenceError(f"evidence has the column {twice[0]!r} twice: drop one.")
        return {name: evidence[name].to_numpy() for name in evidence.columns}, {}
    try:
        return {name: column.to_numpy() for name, column in as_columns(evidence).items()}, {}
    except DataError as error:
        raise EvidenceError(f"evidence is a dict or a DataFrame: {error}") from None


def _of_world(program: Program, world: Draws) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A world as evidence, and what in it follows from the rest."""
    if (draws := world.num_draws or 1) > 1:
        raise EvidenceError(
            f"the world given as evidence has {draws} draws of each unit, and evidence is one value for each: choose "
            f"one, such as {{name: value[0] for name, value in world.items()}}."
        )
    values = {name: value if world.num_draws is None else value[0] for name, value in world.items()}
    follows = {name for name, site in program.sites.items() if name in values and site.deterministic}
    return {n: v for n, v in values.items() if n not in follows}, {n: codes(values[n]) for n in follows}


def _check_follows(
    program: Program, data: Mapping[str, torch.Tensor], units: int, follows: Mapping[str, torch.Tensor]
) -> None:
    """Refuse a world in which a deterministic site has another value than its parents give it."""

    def run() -> None:
        with Observe(data):
            program.batched(units)()

    with seeded(0):
        nodes = traced(run).nodes
    for name, value in follows.items():
        found = program.values(nodes[name], None)
        if not torch.allclose(found.expand(value.shape), value.to(found), rtol=1e-4, atol=1e-5):
            raise EvidenceError(
                f"the world given as evidence has other values of {name!r} than follow from the rest of it, so "
                f"that it is one of an intervention on {name!r}: give the model with that, or leave {name!r} out."
            )


def _present(name: str, x: torch.Tensor, site: Site) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Values with one that is there in the place of those that are NaN, and which units miss theirs, if any do."""
    events = len(site.event_shape)
    if x.dim() != events + 1 or not x.is_floating_point() or not bool(x.isnan().any()):
        return x, None
    absent = x.isnan().reshape(len(x), -1)
    if bool((absent.any(1) & ~absent.all(1)).any()):
        raise EvidenceError(
            f"evidence on {name!r} is NaN in a part of the value of a unit: give the whole value, or NaN for all of it."
        )
    absent = absent.any(1)
    if bool(absent.all()):
        return x, absent
    return torch.where(absent.reshape(-1, *(1,) * events), x[~absent][:1], x), absent


def _numbers(name: str, value: Any, site: Site) -> torch.Tensor:
    if site.role == "intervened":
        raise EvidenceError(
            f"evidence on {name!r} contradicts the intervention on it in this model: leave it out, or pass the "
            f"model before the intervention and the intervention as do."
        )
    try:
        x = as_numbers(in_cells(name, value, site.variable, EvidenceError, tuple(site.event_shape)))
    except CausalError:
        raise
    except (TypeError, ValueError, RuntimeError):
        raise EvidenceError(f"evidence on {name!r} must be numbers, one in every place, got {value!r:.80}.") from None
    if x.is_complex():
        raise EvidenceError(f"evidence on {name!r} must be real numbers, got complex ones.")
    if x.numel() == 0:
        raise EvidenceError(f"evidence on {name!r} is empty: give at least one unit, or leave the site out.")
    return x


def _as_tensor(name: str, x: torch.Tensor, site: Site, finite: bool) -> torch.Tensor:
    cast = x.to(device=site.device, dtype=site.dtype)
    if not ((finite or all_finite(x)) and (cast is x or all_finite(cast))):
        bad = int((~(torch.isfinite(x) & torch.isfinite(cast).to(x.device))).sum())
        raise EvidenceError(
            f"evidence on {name!r} holds {bad} NaN or infinite values of {x.numel()}: drop those units, or leave "
            f"{name!r} out where it was not observed. (NaN is missing in arrays, rows and tables of units without "
            f"plates, but not in tensors.)"
        )
    event = tuple(site.event_shape)
    given = tuple(x.shape[x.dim() - len(event) :]) if x.dim() >= len(event) else None
    if given != event or (not site.in_plate and x.dim() > len(event) + 1):
        raise EvidenceError(
            f"evidence on {name!r} has shape {tuple(x.shape)}, expected ({', '.join(map(str, ('units', *event)))}), or "
            f"{event} for every unit alike."
        )
    if not site.dtype.is_floating_point and not bool((cast == x.to(cast.device)).all()):
        raise EvidenceError(f"evidence on {name!r} must be whole numbers, the codes of its categories.")
    return cast


def _in_plates(program: Program, site: Site, value: torch.Tensor) -> torch.Tensor:
    """A value with a dimension for each plate of its site, put where those plates have theirs."""
    event = value.shape[value.dim() - site.place.event_dim :]
    batch = value.shape[: value.dim() - site.place.event_dim]
    if not program.plated or not site.place.plates or len(batch) != len(site.place.plates):
        return value
    full = [1] * -min(site.place.plates)
    for dim, size in zip(site.place.plates, batch, strict=True):
        full[dim] = size
    return value.reshape(*full, *event)


class Observe(Messenger):
    """Makes evidence observations of their sites.

    Args:
        data: from :func:`read_evidence`.
        check: sites where a value that the model cannot have produced is refused here. Elsewhere its mechanism refuses
            it, or it gets weight zero.
    """

    def __init__(self, data: Mapping[str, torch.Tensor], check: Collection[str] = ()) -> None:
        super().__init__()
        self.data = data
        self.check = check

    def _pyro_sample(self, msg: Any) -> None:
        name, fn = msg["name"], msg["fn"]
        if name not in self.data or is_auxiliary(msg) or role(msg) not in (None, "measured"):
            return
        value = self.data[name]
        shape = fn.batch_shape + fn.event_shape
        try:
            value = value.expand(shape)
        except RuntimeError:
            parts = [frame for frame in msg["cond_indep_stack"] if frame.full_size not in (None, frame.size)]
            why = "".join(
                f" The plate {frame.name!r} is subsampled, {frame.size} of its {frame.full_size} units in each run: "
                f"declare it without subsample_size to give evidence on all of them."
                for frame in parts
            )
            raise EvidenceError(
                f"evidence on {name!r} has shape {tuple(value.shape)}, expected one that broadcasts to "
                f"{tuple(shape)}.{why}"
            ) from None
        if name in self.check:
            check_possible(name, fn, value)
        msg["value"], msg["is_observed"] = value, True


def observed_log_prob(site: Any) -> torch.Tensor:
    """Log density of an observed site of a trace, ``-inf`` where its value is outside the support."""
    fn, value = site["fn"], site["value"]
    if is_auxiliary(site):
        return scale_and_mask(fn.log_prob(value), site["scale"], site["mask"])  # type: ignore[no-any-return]
    supported = fn.support.check(value)
    if bool(supported.all()):
        log_prob = log_density(fn, value)
    else:  # outside its support a formula for a density gives anything, or fails: it is zero
        inside = supported.reshape(supported.shape + (1,) * fn.event_dim)
        log_prob = torch.where(supported, log_density(fn, torch.where(inside, value, fn.sample())), -torch.inf)
    return scale_and_mask(log_prob, site["scale"], site["mask"])  # type: ignore[no-any-return]
