"""Codes that know their labels: what functions of values are given, and what ``Draws`` holds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor

from causal_pyro_models.data.labels import Column, are_codes, are_numbers, as_array, coded, missing_in, stacked
from causal_pyro_models.data.variables import Binary, Categorical, Labelled, Ordinal
from causal_pyro_models.errors import CausalError, QueryError

_ORDERS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {"eq": operator.eq, "ne": operator.ne, **_ORDERS}
_TOLD = frozenset({  # of a tensor, whatever its values mean
    "__len__", "__hash__", "dim", "ndimension", "size", "numel", "nelement", "stride", "storage_offset",
    "is_contiguous", "element_size", "get_device", "data_ptr", "is_floating_point", "is_complex", "is_signed",
    "empty_like", "zeros_like", "ones_like", "rand_like", "full_like", "new_empty", "new_zeros", "new_ones",
    "new_full", "new_tensor", "isfinite", "isinf", "isnan", "one_hot", "bincount", "embedding",
})  # fmt: skip
_MOVED = frozenset({  # the same values in other places: the first argument, or the tensors in it
    "__getitem__", "__setitem__", "__deepcopy__", "clone", "detach", "cpu", "cuda", "contiguous", "view", "reshape",
    "expand", "expand_as", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "swapaxes", "permute",
    "movedim", "t", "ravel", "select", "narrow", "index_select", "gather", "take", "take_along_dim",
    "masked_select", "masked_fill", "split", "chunk", "unbind", "stack", "cat", "concat", "hstack", "vstack",
    "repeat", "repeat_interleave", "tile", "roll", "flip", "broadcast_to", "atleast_1d", "atleast_2d", "view_as",
    "reshape_as",
})  # fmt: skip


class Coded(Tensor):
    """The codes of a variable with labels, as a tensor that is compared by its labels.

    Compared with anything but a tensor it goes by the labels: ``x == "south"``, ``x >= "mild"`` (levels of an ordinal
    variable, and numbers, have an order). Compared with a tensor, or as an index, it is its codes. Indexing, stacking,
    ``torch.where`` and the like keep the labels. Arithmetic is that of labels that are numbers, and refused of others.
    What leaves torch has labels: ``tolist()``, ``item()``, ``numpy()``.

    Example:
        >>> x = labelled(torch.tensor([0, 2, 1]), Ordinal(3, ("low", "mid", "high")))
        >>> x >= "mid", x[1:], x.codes
        (tensor([False,  True,  True]), labelled(['high', 'mid']), tensor([0, 2, 1]))
    """

    variable: Labelled
    site: str

    @property
    def codes(self) -> Tensor:
        """The codes, as a plain tensor."""
        with torch._C.DisableTorchFunctionSubclass():
            return self.as_subclass(Tensor)

    def numbers(self) -> Tensor:
        """The labels as numbers, float64.

        Raises:
            QueryError: they are none.
        """
        labels = self.variable.labels
        if not are_numbers(labels):
            raise QueryError(
                f"the labels of {self.site}, {list(labels)!r:.200}, are no numbers to calculate with: compare with "
                f"them, such as == {labels[-1]!r}, or take their codes, by .codes."
            )
        return torch.tensor(labels, dtype=torch.float64, device=self.device)[self.codes.long()]

    def isin(self, labels: Any) -> Tensor:
        """Whether each is one of some labels."""
        return torch.isin(self.codes, in_codes(self.site, list(labels), self.variable, QueryError).to(self.codes))

    def numpy(self, *, force: bool = False) -> Column:
        """The labels as an array."""
        return self.variable.decode(self.codes)

    def tolist(self) -> Any:
        """The labels as a list."""
        return self.numpy().tolist()

    def item(self) -> Any:
        """The label of a single value."""
        return self.numpy().item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Column:
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.unbind(0))

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"labelled({np.array2string(self.numpy(), separator=', ')})"

    __hash__ = Tensor.__hash__

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compared("eq", self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compared("ne", self, other)

    def __lt__(self, other: object) -> Tensor:
        return _compared("lt", self, other)

    def __le__(self, other: object) -> Tensor:
        return _compared("le", self, other)

    def __gt__(self, other: object) -> Tensor:
        return _compared("gt", self, other)

    def __ge__(self, other: object) -> Tensor:
        return _compared("ge", self, other)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.__name__, kwargs or {}
        if name in _COMPARISONS and len(args) == 2:
            return _compared(name, *args)
        if name in ("equal", "allclose", "isclose"):
            _shared(args)
            return func(*_bare(args), **_bare(kwargs))
        if name == "where" and len(args) == 3 and (one := _shared(args[1:])) is not None:
            branches = [in_codes(one.site, part, one.variable, QueryError) for part in args[1:]]
            return _wrapped(torch.where(_bare(args[0]), *map(codes, branches)), one)
        if name in _MOVED:
            one, (first, *rest) = _shared(args[:1]), args
            if one is not None and name in ("masked_fill", "__setitem__"):
                rest[-1] = in_codes(one.site, rest[-1], one.variable, QueryError)
            return _wrapped(func(*_bare((first, *rest)), **_bare(kwargs)), one)
        if name == "broadcast_tensors":
            return tuple(_wrapped(x, _shared([old])) for x, old in zip(func(*_bare(args)), args, strict=True))
        if name == "__get__":
            return _wrapped(func(*_bare(args), **kwargs), _shared(args))
        if name in _TOLD:
            return func(*_bare(args), **_bare(kwargs))
        if name in ("to", "type", "requires_grad_", "type_as"):
            found = func(*_bare(args), **_bare(kwargs))
            if not isinstance(found, Tensor) or found.dtype == args[0].dtype:
                return _wrapped(found, _shared(args[:1]))
        if name.endswith("_") and not name.endswith("__"):
            raise QueryError(f"{name} would change the codes of labels in place: make a new tensor.")
        found = func(*_bare(args, Coded.numbers), **_bare(kwargs, Coded.numbers))
        return found.as_subclass(Calculated) if isinstance(found, Tensor) else found

    def __reduce_ex__(self, protocol: Any) -> Any:
        return labelled, (self.codes, self.variable, self.site)


class Calculated(Tensor):
    """Numbers that were calculated from labels: what they say of a variable with labels are labels, not codes."""


def labelled(value: Tensor, variable: object, name: str = "values") -> Tensor:
    """The codes of a variable, knowing their labels; as they are of a variable without, or with codes for labels.

    Args:
        value: the codes.
        variable: the kind of variable; anything that has no labels, such as None, is ignored.
        name: of the variable, for messages.
    """
    if not isinstance(variable, Labelled) or are_codes(variable.labels):
        return codes(value)
    found = codes(value).as_subclass(Coded)
    found.variable, found.site = variable, name
    return cast(Tensor, found)


@overload
def codes(value: Tensor) -> Tensor: ...
@overload
def codes(value: Any) -> Any: ...
def codes(value: Any) -> Any:
    """A tensor as a plain one, anything else as it is."""
    if isinstance(value, Calculated):
        return value.as_subclass(Tensor)
    return value.codes if isinstance(value, Coded) else value


def in_codes(name: str, value: Any, variable: object, error: type[CausalError]) -> Any:
    """A value as a model has it: labels as their codes, a tensor as it is.

    Codes that know their labels go by these, and so do numbers that were calculated from labels. Of a variable without
    labels the value comes back, and so it does where labels are codes and it is numbers.

    Args:
        name: the variable.
        value: a tensor of codes; or a label, or an array, a list or a column of labels.
        variable: its kind, or None.
        error: what is raised where a label is unknown.
    """
    if isinstance(value, Coded):
        if not isinstance(variable, Labelled) or value.variable.labels == variable.labels:
            return value.codes
        value = value.numpy()
    if isinstance(value, Calculated):
        plain = codes(value)
        value = plain.numpy(force=True) if isinstance(variable, Labelled) and plain.dtype != torch.bool else plain
    if not isinstance(variable, Labelled):
        return value
    if isinstance(value, Tensor):
        _check_codes(name, value, variable, error)
        return value
    try:
        array = as_array(value)
    except ValueError:
        return value
    if array.dtype.kind in "biuf" and are_codes(variable.labels):
        return value
    found = coded(name, array, variable.labels, error)
    return found.double() if isinstance(variable, Binary) else found


def _check_codes(name: str, value: Tensor, variable: Labelled, error: type[CausalError]) -> None:
    """Refuse a tensor of something else than codes, where these are other numbers than the labels."""
    labels = variable.labels
    if are_codes(labels) or value.dtype == torch.bool or value.is_complex():
        return
    wrong = value[torch.isfinite(value) & ~torch.isin(value, torch.arange(len(labels)).to(value))]
    if wrong.numel():
        raise error(
            f"a torch.Tensor for variable {name!r} holds the codes 0 to {len(labels) - 1} of its labels "
            f"{list(labels)!r:.200}, got {float(wrong[0]):g}: give labels by themselves, in a list or in a NumPy array."
        )


def in_cells(
    name: str, value: Any, variable: object, error: type[CausalError], event_shape: tuple[int, ...] = ()
) -> Any:
    """:func:`in_codes` of a column, in which what is missing comes as NaN, and a tensor misses nothing.

    Raises:
        TypeError, ValueError: it is no array of numbers, or of labels of the variable.
    """
    if isinstance(value, Tensor):
        return in_codes(name, value, variable, error)
    array = stacked(as_array(value), event_shape)
    absent = missing_in(array)
    if array.ndim == 0 or np.ma.is_masked(value) or not (absent.any() or array.dtype == object):
        return in_codes(name, array if array.ndim > 1 else value, variable, error)
    found, present = np.full(array.shape, np.nan), array[~absent]
    there = np.asarray(in_codes(name, present, variable, error).tolist() if len(present) else [], dtype=None)
    if len(present) and there.dtype.kind not in "biuf":
        raise TypeError(f"values of type {there.dtype}")
    found[~absent] = there
    return found


def as_labels(value: Tensor, variable: object) -> list[Any]:
    """Values as a list, of labels where the variable has some."""
    found: list[Any] = (variable.decode(codes(value)) if isinstance(variable, Labelled) else codes(value)).tolist()
    return found


def has_mean(variable: object) -> bool:
    """Whether a mean of a variable says something: it is no category, and its labels are numbers if it has any."""
    return not isinstance(variable, Labelled) or (
        not isinstance(variable, Categorical) and are_numbers(variable.labels)
    )


def as_numbers(name: str, value: Tensor, variable: object) -> Tensor:
    """Values to be averaged: the labels of codes, which must be numbers.

    Args:
        name: the variable.
        value: its values in the model.
        variable: its kind, or None.

    Raises:
        QueryError: the variable is nominal, or its levels are no numbers.
    """
    if not isinstance(variable, Labelled):
        return codes(value)
    if not has_mean(variable):
        raise no_mean(name, variable)
    known = labelled(value, variable)
    return known.numbers() if isinstance(known, Coded) else known


def no_mean(name: str, variable: Labelled) -> QueryError:
    """The error for a mean of what is no number, with the way to ask for the probability of a class."""
    what = "ordered levels" if isinstance(variable, Ordinal) else "classes"
    ordered = f", or lambda world: world[{name!r}] >= {variable.labels[-1]!r}" if isinstance(variable, Ordinal) else ""
    return QueryError(
        f"{name!r} has no mean: it is one of the {what} {list(variable.labels)!r:.200}. Ask for the probability of "
        f"one, such as {{{name!r}: {variable.labels[-1]!r}}}{ordered}."
    )


def _shared(values: Any) -> Coded | None:
    """One of the values that know their labels, in lists as well, once all know the same; None where there is none."""
    found: Coded | None = None
    for value in values:
        own = _shared(value) if isinstance(value, list | tuple) else value if isinstance(value, Coded) else None
        if own is not None and found is not None and own.variable.labels != found.variable.labels:
            raise QueryError(
                f"the codes of {found.site}, {list(found.variable.labels)!r:.100}, meet those of {own.site}, "
                f"{list(own.variable.labels)!r:.100}, which stand for other things: compare each with labels."
            )
        found = own if found is None else found
    return found


def _bare(values: Any, of: Callable[[Coded], Tensor] = codes) -> Any:
    """Values with each tensor that knows its labels as a plain one."""
    if isinstance(values, Coded):
        return of(values)
    if isinstance(values, dict):
        return {key: _bare(value, of) for key, value in values.items()}
    return type(values)(_bare(v, of) for v in values) if type(values) in (list, tuple) else values


def _wrapped(found: Any, like: Coded | None) -> Any:
    """Tensors of codes with the labels of another."""
    if like is None:
        return found
    if isinstance(found, Tensor):
        return labelled(found, like.variable, like.site)
    return type(found)(_wrapped(v, like) for v in found) if type(found) in (list, tuple) else found


def _compared(name: str, one: Any, other: Any) -> Tensor:
    """A comparison: by codes where both are tensors, and by labels otherwise."""
    if not isinstance(one, Coded):
        one, other, name = other, one, {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}.get(name, name)
    compare, labels = _COMPARISONS[name], one.variable.labels
    if isinstance(other, Tensor):
        _shared([one, other])
        return cast(Tensor, compare(one.codes, codes(other)))
    array, comparable = as_array(other), _comparable(labels)
    levels = isinstance(one.variable, Ordinal) and not (comparable and list(labels) == sorted(labels))
    if name in ("eq", "ne") or levels:
        return cast(Tensor, compare(one.codes, coded(one.site, array, labels, QueryError).to(one.device)))
    if not comparable:
        raise QueryError(f"the labels of {one.site}, {list(labels)!r:.200}, have no order: compare with == or !=.")
    if isinstance(labels[0], datetime):
        array = array.astype("datetime64[us]")
    return torch.as_tensor(compare(one.numpy(), array), device=one.device)


def _comparable(labels: tuple[Any, ...]) -> bool:
    """Whether labels have an order of their own."""
    return are_numbers(labels) or all(isinstance(label, datetime) for label in labels)
