"""What the verbs return: draws of sites, all of equal weight, and the weighted ones that they were chosen from."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import torch

from causal_pyro_models.data.coded import as_numbers, has_mean, labelled
from causal_pyro_models.data.variables import Labelled, Ordinal, Variable
from causal_pyro_models.errors import QueryError, unknown_variable
from causal_pyro_models.inference.mixtures import student, widened
from causal_pyro_models.inference.weights import resampling
from causal_pyro_models.validation import checked_level

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Draws(Mapping[str, torch.Tensor]):
    """Values of sites: a mapping from name to a tensor ``(draws, units, *event)`` of draws of equal weight.

    There is no leading dimension where ``num_draws`` is None. Sites outside every plate (population-level parameters)
    have no dimension for units.

    Draws of importance sampling are resampled once by their weights, unit by unit where units have weights of their
    own, so that ``draws["X"].mean(0)`` is the posterior mean. What the draws were chosen from is kept: means, quantiles
    and effects are taken of those with their weights, which is more precise.

    Attributes:
        sites: the values, by site, that the weights belong to; without weights, those that ``draws["X"]`` gives.
        event_dims: how many dimensions on the right belong to a single value, by site.
        num_draws: the number of posterior draws, or None.
        log_weights: normalised log weights of ``sites``, ``(draws, units)`` or ``(draws,)``; None where all are equal.
        ess: effective sample size for each unit.
        pareto_k: Pareto k-hat of the importance weights for each unit (over 0.7: not to be trusted); None without any.
        kinds: the kinds of variables, of those sites that say so: values of one with labels are compared by these.
        parts: of a model with refits, the answer of the fit to all data and that of each refit. The values are those of
            the refits, one after the other; the mean is that of the fit to all data, and standard deviation and
            interval hold the doubt of the data as well.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0]])  # three draws of one unit
        >>> draws = Draws({"X": x}, {"X": 0}, 3, torch.tensor([0.6, 0.0, 0.4]).log())
        >>> draws["X"].flatten(), draws.mean("X"), draws.quantile("X", 0.5)
        (tensor([0., 0., 4.]), tensor([1.6000]), tensor([0.]))
        >>> draws.to_dataframe()
           draw  unit    X
        0     0     0  0.0
        1     1     0  0.0
        2     2     0  4.0
    """

    sites: Mapping[str, torch.Tensor]
    event_dims: Mapping[str, int]
    num_draws: int | None = None
    log_weights: torch.Tensor | None = None
    ess: torch.Tensor | None = None
    pareto_k: torch.Tensor | None = None
    parts: tuple[Draws, ...] = ()
    kinds: Mapping[str, Variable] = field(default_factory=dict)

    def __getitem__(self, name: str) -> torch.Tensor:
        return labelled(self._values(name), self.kinds.get(name), name)

    def _values(self, name: str) -> torch.Tensor:
        """The values of a site as the model holds them, draws of equal weight."""
        if not isinstance(name, str) or name not in self.sites:
            raise unknown_variable(name, self.sites, "site")
        value, index = self.sites[name], self.resampled
        if index is None or index.dim() > value.dim() - self.event_dims[name]:
            return value
        return value[index] if index.dim() == 1 else value[index, torch.arange(index.shape[1], device=value.device)]

    def __contains__(self, name: object) -> bool:
        return name in self.sites

    def __iter__(self) -> Iterator[str]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __repr__(self) -> str:
        rows = [f"  {name}: {tuple(value.shape)} {value.dtype}" for name, value in self.sites.items()]
        if self.ess is not None:
            rows.append(f"  effective sample size: {self.ess.min():.0f} (lowest of {self.ess.numel()})")
        if self.pareto_k is not None:
            rows.append(f"  Pareto k-hat: {self.pareto_k.max():.2f} (highest of {self.pareto_k.numel()})")
        return f"{type(self).__name__}(\n" + "\n".join(rows) + "\n)"

    @cached_property
    def resampled(self) -> torch.Tensor | None:
        """Which of ``sites`` the draws of equal weight are, ``(draws, units)`` or ``(draws,)``; None where all are."""
        return None if self.log_weights is None else resampling(self.log_weights)

    @property
    def proposed(self) -> Draws:
        """The values that the weights belong to, without them."""
        return Draws(self.sites, self.event_dims, self.num_draws, kinds=self.kinds)

    def shares(self) -> torch.Tensor:
        """The probability of each of ``sites``, ``(draws, units)`` or ``(draws,)``; equal without weights."""
        if self.log_weights is not None:
            return self.log_weights.exp()
        return torch.full((self.num_draws or 1,), 1 / (self.num_draws or 1))

    def mean(self, name: str) -> torch.Tensor:
        """Posterior mean of a site, ``(units, *event)``; of one with labels that are numbers, of these.

        Raises:
            QueryError: there are no draws, or the site is nominal, or ordinal with levels that are no numbers.
        """
        if self.parts:
            return self.parts[0]._centre(name)
        value, weight = self._weighted(name)
        return (value * weight).sum(0)

    def std(self, name: str) -> torch.Tensor:
        """Posterior standard deviation of a site, ``(units, *event)``; see :meth:`mean`."""
        if self.parts:
            between, within = self._between(name)
            return (between.square() + within.square()).sqrt()
        value, weight = self._weighted(name)
        centre = (value * weight).sum(0)
        return ((value - centre).square() * weight).sum(0).sqrt()

    def quantile(self, name: str, q: float) -> torch.Tensor:
        """Posterior quantile of a site, ``(units, *event)``: the least value with cumulative weight of ``q`` or more.

        Of an ordinal site it is a level.

        Raises:
            QueryError: q outside [0, 1], no draws to take a quantile of, or a nominal site.
        """
        if isinstance(q, bool) or not isinstance(q, Real) or not 0.0 <= q <= 1.0:
            raise QueryError(f"q must be a number from 0 to 1, got {q!r:.80}.")
        value, weight = self._weighted(name, ordered=True)
        order = value.argsort(0)
        share = weight.double().expand(value.shape).gather(0, order).cumsum(0)
        reached = share / share[-1:] >= q - max(4 * torch.finfo(weight.dtype).eps, 1e-9)
        found = value.gather(0, order).gather(0, reached.int().argmax(0, keepdim=True)).squeeze(0)
        return found if has_mean(self.kinds.get(name)) else labelled(found, self.kinds[name], name)

    def interval(self, name: str, level: float = 0.95) -> tuple[torch.Tensor, torch.Tensor]:
        """Central posterior interval of a site: lower and upper end, each ``(units, *event)``.

        Of a model with refits it is the mean with Student's t of their spread, widened by what the fit to all data
        leaves open; of a discrete site the quantiles of all.
        """
        level = checked_level(level)
        if self.parts and not all(_is_whole(part.sites[name]) for part in self.parts):
            return self._doubted(name, level)
        return self.quantile(name, (1 - level) / 2), self.quantile(name, (1 + level) / 2)

    def _centre(self, name: str) -> torch.Tensor:
        """The mean, or the single draw."""
        if self.num_draws is not None:
            return self.mean(name)
        return as_numbers(name, self._values(name), self.kinds.get(name)).to(torch.get_default_dtype())

    def _between(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The standard deviation of the refits' means, and that within the fit to all data.

        What a refit's own draws vary by is taken from the first; with one draw each there is no telling the two apart,
        and the first holds both.
        """
        whole, *refits = self.parts
        means = torch.stack([part._centre(name) for part in refits])
        counts = [part.num_draws or 1 for part in refits]
        if whole.num_draws is None or min(counts) == 1:
            return means.std(0), torch.zeros_like(means[0])
        noise = torch.stack([part.std(name).square() / n for part, n in zip(refits, counts, strict=True)]).mean(0)
        return (means.var(0) - noise).clamp(min=0.0).sqrt(), whole.std(name)

    def _doubted(self, name: str, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        between, within = self._between(name)
        centre = self.mean(name)
        ends = self.parts[0].interval(name, level) if bool(within.any()) else (centre, centre)
        below, above = widened(centre, ends, student(level, len(self.parts) - 1) * between)
        return centre - below, centre + above

    def _weighted(self, name: str, ordered: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """The values of a site, labels that are numbers in the place of codes, and their weights.

        Args:
            name: the site.
            ordered: whether levels that are no numbers will do, as their codes.
        """
        value, kind = self.proposed._values(name), self.kinds.get(name)
        if not (ordered and isinstance(kind, Ordinal)) or has_mean(kind):
            value = as_numbers(name, value, kind)
        if self.num_draws is None:
            raise QueryError(
                f"{name!r} has a single exact draw, so there is no distribution to summarise: pass num_samples."
            )
        value = value if value.dtype.is_floating_point else value.to(torch.get_default_dtype())
        weight = self.shares().to(value)
        weight = weight / weight.sum(0, keepdim=True)  # to the precision of the values
        return value, weight.reshape(weight.shape + (1,) * (value.dim() - weight.dim()))

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each draw and unit, a column for each site (``name[i]`` for each component of a vector).

        Columns ``draw`` and ``unit`` come first. Where a site has labels, they are in its column.

        Raises:
            QueryError: sites that lie in different plates, or have the name of such a column.
        """
        import pandas as pd

        draws = self.num_draws or 1
        units = max((self._units(name) for name in self.sites), default=1)
        index = torch.arange(draws * units)
        columns: dict[str, Any] = {"draw": index // units, "unit": index % units}
        if self.num_draws is None:
            del columns["draw"]
        for name in self:
            value = self._values(name)
            _check_column(name, columns)
            if self._units(name) not in (1, units):
                raise QueryError(
                    f"{name!r} has {self._units(name)} units and another site {units}, so they lie in different plates "
                    f"and have no row in common: use to_inference_data, which keeps their dimensions."
                )
            event = value.shape[value.dim() - self.event_dims[name] :]
            flat = value.reshape(draws, self._units(name), -1).expand(draws, units, -1).reshape(draws * units, -1)
            for i in range(flat.shape[1]):
                label = name if not event else f"{name}[{','.join(map(str, _unravel(i, event)))}]"
                columns[label] = flat[:, i]
            if isinstance(kind := self.kinds.get(name), Labelled):
                columns[name] = kind.decode(columns[name])
        return pd.DataFrame(
            {name: c.detach().cpu().numpy() if isinstance(c, torch.Tensor) else c for name, c in columns.items()}
        )

    def _units(self, name: str) -> int:
        value = self.sites[name]
        lead = 0 if self.num_draws is None else 1
        return math.prod(value.shape[lead : value.dim() - self.event_dims[name]])


def _check_column(name: str, columns: Collection[str]) -> None:
    if name in columns:
        raise QueryError(f"site {name!r} has the name of another column of the table: rename the site.")


def _unravel(index: int, shape: torch.Size) -> list[int]:
    place: list[int] = []
    for size in reversed(shape):
        index, last = divmod(index, size)
        place.insert(0, last)
    return place


@dataclass(frozen=True, eq=False, repr=False)
class Noise(Draws):
    """Abducted noise: a mapping from ``U_X`` to its posterior draws, and what else is held fixed across worlds.

    Every world on it has the same draws, resampled the same way.

    Attributes:
        parameters: draws of the population-level parameters, ``(draws, *event)``, of equal weight as all others.
        units: the number of units, for a model of one unit.
        replay: all that a world replays (noise, parameters, subsample indices), in the shapes the model runs in: the
            draws that the weights belong to.
        variables: the sites of the model that the noise was abducted from.
        factual: the values of the sites that were observed.
        chains: how many Markov chains the draws come from, one after the other; 1 for independent draws.
        divergences: divergent transitions in each chain.
        exact: whether the evidence determines the noise, so that every abduction comes to it, bit for bit.
        seed: of the random numbers by which worlds draw the sites that have no mechanism; None where there are none.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import abduct, worlds
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Normal(2.0 * x, 1.0))
        >>> noise = abduct(model, {"X": [1.0], "Y": [2.5]})
        >>> noise, noise.exact
        (Noise(
          U_X: (1,) torch.float32
          U_Y: (1,) torch.float32
          effective sample size: 1 (lowest of 1)
        ), True)
        >>> worlds(model, noise, {"do": {"X": 0.0}})["do"]["Y"]
        tensor([0.5000])
    """

    parameters: Mapping[str, torch.Tensor] = field(default_factory=dict)
    units: int = 1
    replay: Mapping[str, torch.Tensor] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()
    factual: Mapping[str, torch.Tensor] = field(default_factory=dict)
    chains: int = 1
    divergences: tuple[int, ...] = ()
    exact: bool = False
    seed: int | None = None

    def of_equal_weight(self) -> Noise:
        """The draws that are shown, as noise without weights."""
        index = self.resampled
        if index is None:
            return self

        def chosen(value: torch.Tensor) -> torch.Tensor:
            if len(value) != len(index):
                return value
            if index.dim() == 1:
                return value[index]
            units = index.shape[1]
            return value.expand(-1, units, *value.shape[2:])[index, torch.arange(units, device=value.device)]

        drawn = {*self.sites, *self.parameters}
        replay = {name: chosen(value) if name in drawn else value for name, value in self.replay.items()}
        factual = {name: chosen(value) for name, value in self.factual.items()}
        return replace(
            self, sites={name: self._values(name) for name in self}, replay=replay, factual=factual, log_weights=None
        )


def mixed(whole: Draws, refits: Sequence[Draws]) -> dict[str, Any]:
    """The attributes of the draws of a mixture: those of the refits, one after the other, and all of them as parts."""
    counts = [part.num_draws or 1 for part in refits]
    log_weights = None
    if any(part.log_weights is not None for part in refits):
        shares = [part.shares().log() + math.log(n / sum(counts)) for part, n in zip(refits, counts, strict=True)]
        units = max(share.shape[1] if share.dim() > 1 else 1 for share in shares)
        each = any(share.dim() > 1 for share in shares)
        log_weights = torch.cat([_by_unit(share, units) if each else share for share in shares])
    sizes, ks = [part.ess for part in refits], [part.pareto_k for part in refits]
    return {
        "sites": {name: torch.cat([_rows(part, part.sites[name]) for part in refits]) for name in refits[0]},
        "event_dims": refits[0].event_dims,
        "num_draws": sum(counts),
        "log_weights": log_weights,
        "ess": None if any(size is None for size in sizes) else reduce(torch.add, cast("list[torch.Tensor]", sizes)),
        "pareto_k": reduce(torch.maximum, known) if (known := [k for k in ks if k is not None]) else None,
        "parts": (whole, *refits),
        "kinds": whole.kinds,
    }


def _by_unit(share: torch.Tensor, units: int) -> torch.Tensor:
    """Weights ``(draws, units)``, the same for all units where there is one for each draw."""
    return share if share.dim() > 1 else share[:, None].expand(-1, units)


def _is_whole(value: torch.Tensor) -> bool:
    """Whether values are those of a discrete site."""
    return not value.is_floating_point() or bool((value == value.round()).all())


def _rows(part: Draws, value: torch.Tensor) -> torch.Tensor:
    """Values with a dimension for draws."""
    return value[None] if part.num_draws is None else value


@dataclass(frozen=True, eq=False, repr=False)
class Worlds(Mapping[str, Draws]):
    """Several worlds on the same noise: a mapping from the name of a world to its :class:`Draws`.

    Attributes:
        draws: the values in each world.
        noise: the noise they share.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import worlds
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Normal(2.0 * x, 1.0))
        >>> result = worlds(model, {"X": [1.0], "Y": [2.5]}, {"factual": {}, "do": {"X": 0.0}})
        >>> result["factual"]["Y"] - result["do"]["Y"]
        tensor([2.])
        >>> result.to_dataframe()
             world  unit    X    Y
        0  factual     0  1.0  2.5
        1       do     0  0.0  0.5
    """

    draws: Mapping[str, Draws]
    noise: Noise

    def __repr__(self) -> str:
        shapes = {
            world: ", ".join(f"{name} {tuple(value.shape)}" for name, value in draws.sites.items())
            for world, draws in self.draws.items()
        }
        return "Worlds(\n" + "\n".join(f"  {world}: {sites}" for world, sites in shapes.items()) + "\n)"

    def __getitem__(self, name: str) -> Draws:
        if name not in list(self.draws):
            raise unknown_variable(name, self.draws, "world")
        return self.draws[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.draws)

    def __len__(self) -> int:
        return len(self.draws)

    def to_dataframe(self) -> pd.DataFrame:
        """The rows of every world one below the other, with a column ``world`` in front.

        Raises:
            QueryError: see :meth:`Draws.to_dataframe`.
        """
        import pandas as pd

        for name in {name for draws in self.draws.values() for name in draws}:
            _check_column(name, ["world"])
        frames = [draws.to_dataframe().assign(world=name) for name, draws in self.draws.items()]
        frame = pd.concat(frames, ignore_index=True)
        return frame[["world", *frame.columns.drop("world")]]
