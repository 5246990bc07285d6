"""What a sample site is to this package: its role, its support, the type of its values; and models under handlers."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_factor, site_is_subsample
from torch import distributions as td, nn
from torch.distributions import constraints

from causal_pyro_models.errors import ModelError, UnknownVariableError, unknown_variable

Model = Callable[..., object]
"""A generative program: any callable with Pyro primitives inside."""


def noise_name(name: str) -> str:
    """The name of the noise site behind the site ``name``."""
    return f"U_{name}"


def role(site: Any) -> str | None:
    """What this package made of a site: exogenous, endogenous, intervened or natural; None for a site as written."""
    found = site["infer"].get("role")
    return None if found is None else str(found)


def is_deterministic(site: Any) -> bool:
    """Whether a site has no noise of its own: ``pyro.deterministic`` or a Delta distribution."""
    fn = site["fn"]
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)


def is_auxiliary(site: Any) -> bool:
    """Whether a site is Pyro's own bookkeeping (subsample indices, factors) rather than a variable."""
    return bool(site_is_subsample(site) or site_is_factor(site))


def is_variable(site: Any) -> bool:
    """Whether a site is a variable of the model: not noise, not the natural half of an intervened one, not Pyro's."""
    return site["type"] == "sample" and not is_auxiliary(site) and role(site) not in ("exogenous", "natural")


def all_finite(x: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite; a sum tells in one pass, but for sums that overflow."""
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def as_numbers(value: Any, device: torch.device | None = None) -> torch.Tensor:
    """Numbers as users have them (a tensor, an array, a Series, a list, a number) as a dense tensor.

    Raises:
        TypeError, ValueError, RuntimeError: it holds something else, or a masked array leaves some out.
    """
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_meta or value.is_nested:
            raise TypeError("a tensor without values in every place")
        return value.to(device)
    if np.ma.is_masked(value):
        raise ValueError("a masked array")
    array = np.array(value)  # a copy: torch takes neither negative strides nor the other byte order
    return torch.as_tensor(array.astype(array.dtype.newbyteorder("=")), device=device)


def delta(value: torch.Tensor, event_dim: int) -> Any:
    """A deterministic distribution that adds nothing to the density."""
    return dist.Delta(value, event_dim=event_dim, validate_args=False).mask(False)


def value_type(fn: Any) -> tuple[torch.dtype, torch.device | None]:
    """Type and device of the values of a distribution, read off its parameters, or its last transform's ``dtype``."""
    if stated := getattr((getattr(fn, "transforms", None) or [None])[-1], "dtype", None):
        return stated, value_type(fn.base_dist)[1]
    for inner in ("base_dist", "dist", "component_distribution"):
        if hasattr(fn, inner):
            return value_type(getattr(fn, inner))
    if hasattr(fn, "_param"):  # of probs and logits the one that was given; to ask for the other would compute it
        tensors = [fn._param]
    else:
        tensors = [v for name in fn.arg_constraints if isinstance(v := getattr(fn, name, None), torch.Tensor)]
    device = tensors[0].device if tensors else None
    if isinstance(fn, dist.Delta):
        return fn.v.dtype, device
    if isinstance(fn, torch.distributions.Categorical):
        return torch.int64, device
    floating = [v.dtype for v in tensors if v.dtype.is_floating_point]
    return (floating[0] if floating else torch.get_default_dtype()), device


_SUPPORTS = {
    "Boolean": "0 or 1",
    "OneHot": "vectors of zeros with a single one",
    "Real": "real numbers",
    "Simplex": "vectors of numbers from 0 that sum to 1",
}


def support_of_family(fn: Any) -> Any:
    """The values that the laws of a family take, whatever their parameters: bounds that are parameters fall away.

    What is fixed stays: whole numbers, a bound at zero, the number of classes, the form of a vector.

    Example:
        >>> from causal_pyro_models.scm.sites import describe_support
        >>> describe_support(support_of_family(dist.Binomial(10, torch.tensor(0.5))))
        'whole numbers from 0'
        >>> bool(support_of_family(dist.Uniform(0.0, 1.0)).check(torch.tensor(2.0)))
        True
    """
    law, support, wrappers = fn, fn.support, []
    while not isinstance(law, td.TransformedDistribution) and hasattr(law, "base_dist"):
        law = law.base_dist
    if isinstance(law, td.MixtureSameFamily):
        law = law.component_distribution
    while hasattr(support, "base_constraint"):
        wrappers.append(support)
        support = support.base_constraint
    if not isinstance(support, constraints.multinomial):
        support = copy.copy(support)
        for end, beyond in (
            ("lower_bound", 0.0 if isinstance(law, td.Pareto) else -math.inf),
            ("upper_bound", math.inf),
        ):
            bound = getattr(support, end, None)
            if isinstance(bound, torch.Tensor) or (bound is not None and isinstance(law, td.Uniform)):
                setattr(support, end, beyond)
    for wrapper in reversed(wrappers):
        wrapper = copy.copy(wrapper)
        wrapper.base_constraint = support
        support = wrapper
    return support


def describe_support(support: Any) -> str:
    """A support in words; bounds that differ from unit to unit are left out."""
    if inner := getattr(support, "base_constraint", None):
        return describe_support(inner)
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    kind = "whole numbers" if support.is_discrete else "numbers"
    if any(isinstance(bound, torch.Tensor) and bound.numel() > 1 for bound in (low, high)):
        return f"{kind} within bounds that depend on other sites or units"
    after = "over" if isinstance(support, constraints.greater_than) else "from"
    bounds = [(word, float(end)) for word, end in ((after, low), ("to", high)) if end is not None]
    ends = [f"{word} {end:g}" for word, end in bounds if math.isfinite(end)]
    name = type(support).__name__.lstrip("_")
    return " ".join([kind, *ends]) if ends else _SUPPORTS.get(name, name)


def describe_value(value: torch.Tensor) -> str:
    """A number, or the first few of a vector."""
    numbers = [f"{x:g}" for x in value.flatten()[:6].tolist()]
    more = ", ..." if value.numel() > len(numbers) else ""
    return f"[{', '.join(numbers)}{more}]" if value.dim() else numbers[0]


def unknown_site(name: object, known: Iterable[str]) -> UnknownVariableError:
    """The error for a name that no site has; that of a noise is told apart."""
    for site in (known := list(known)):
        if name == noise_name(site):
            return UnknownVariableError(
                f"{name!r} is the noise of {site!r}, which follows from the values of sites: name {site!r} instead."
            )
    return unknown_variable(name, known, "site")


def check_callable(model: Any) -> None:
    """Refuse what cannot be a model.

    Raises:
        ModelError: it is not callable, or a class or a distribution.
    """
    if isinstance(model, type):
        raise ModelError(f"a model is a callable with Pyro primitives inside, got a class: call {model.__name__}(...).")
    if isinstance(model, torch.distributions.Distribution):
        raise ModelError(
            f"a model is a callable with Pyro primitives inside, got a distribution: call pyro.sample('X', "
            f"{type(model).__name__}(...)) in a function."
        )
    if not callable(model):
        raise ModelError(f"a model is a callable with Pyro primitives inside, got {type(model).__name__}.")


class Telling(Messenger):
    """Says at each site of some variables what kind of variable it is, for the handlers around it.

    Args:
        variables: the kinds, by the name of the site.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        super().__init__()
        self.variables = variables

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.variables:
            msg["infer"] = {**msg["infer"], "variable": self.variables[msg["name"]]}


class Handled(nn.Module):
    """A model under a handler: still a model, and still a module with the parameters of the model inside."""

    def __init__(self, model: Model, handler: Callable[[], Messenger]) -> None:
        super().__init__()
        check_callable(model)
        self.model = model
        self.handler = handler

    def around(self, model: Model) -> "Handled":
        """The same handler around another model."""
        twin = copy.copy(self)
        twin.__dict__["_modules"] = {name: module for name, module in self._modules.items() if name != "model"}
        twin.__dict__.pop("model", None)
        twin.model = model
        return twin

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self.handler():
            return self.model(*args, **kwargs)
