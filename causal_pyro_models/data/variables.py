"""Kinds of variables: what values they take, how data become tensors and back, and what a child sees of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Number

import numpy as np
import torch
from torch import Tensor

from causal_pyro_models.data.labels import Column, Label, are_distinct, checked_labels, coded, decoded, plain
from causal_pyro_models.errors import DataError, ModelError


@dataclass(frozen=True)
class Continuous:
    """A real number per unit, or a vector of them.

    Args:
        dim: length of the vector; 1 is a plain number.

    Raises:
        ModelError: ``dim`` is no integer of at least 1.

    Example:
        >>> Continuous().event_shape, Continuous(3).event_shape
        ((), (3,))
    """

    dim: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", _size(self.dim, 1, "a continuous variable needs dim >= 1"))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one unit's value."""
        return () if self.dim == 1 else (self.dim,)

    @property
    def width(self) -> int:
        """Number of features that a child sees."""
        return self.dim

    def features(self, name: str, value: Tensor) -> Tensor:
        """The value as features, ``(..., dim)``."""
        return value.unsqueeze(-1) if self.dim == 1 else value

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of data as values, float64."""
        return _numbers(name, column, "Continuous")

    def decode(self, value: Tensor) -> Column:
        """Values as numbers."""
        return _array(value)


@dataclass(frozen=True)
class Positive:
    """A number above zero per unit: a duration, a price, a concentration.

    Example:
        >>> Positive().features("dose", torch.tensor([1.0, 10.0]))
        tensor([[0.0000],
                [2.3026]])
    """

    event_shape = ()
    width = 1

    def features(self, name: str, value: Tensor) -> Tensor:
        """The logarithm of the value as a single feature, ``(..., 1)``.

        Raises:
            ModelError: a value is not above zero.
        """
        if not bool((value > 0).all()):
            raise ModelError(f"variable {name!r} is positive and was given a value that is not above zero.")
        return value.log().unsqueeze(-1)

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of data as values, float64."""
        values = _numbers(name, column, "Positive")
        _refuse(name, values, values <= 0, "are not above zero", "Correct these rows, or declare it Continuous.")
        return values

    def decode(self, value: Tensor) -> Column:
        """Values as numbers."""
        return _array(value)


@dataclass(frozen=True)
class Count:
    """A number of things per unit: 0, 1, 2, ... without a bound; as a float.

    Example:
        >>> Count().decode(torch.tensor([0.0, 3.0]))
        array([0, 3])
    """

    event_shape = ()
    width = 1

    def features(self, name: str, value: Tensor) -> Tensor:
        """The value as a single feature, ``(..., 1)``."""
        return value.unsqueeze(-1)

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of data as values, float64."""
        values = _numbers(name, column, "Count")
        _refuse(name, values, (values < 0) | (values != values.round()), "are no whole numbers from 0 up")
        return values

    def decode(self, value: Tensor) -> Column:
        """Values as integers."""
        return _array(value.round()).astype(np.int64)


@dataclass(frozen=True)
class Binary:
    """Zero or one per unit, as a float.

    Args:
        labels: what the data call zero and one; by default 0 and 1, or False and True.

    Raises:
        ModelError: there are not two distinct labels.

    Example:
        >>> smoker = Binary(("no", "yes"))
        >>> smoker.encode("smoker", np.array(["yes", "no"])), smoker.decode(torch.tensor([1.0, 0.0])).tolist()
        (tensor([1., 0.], dtype=torch.float64), ['yes', 'no'])
    """

    labels: tuple[Label, ...] = (0, 1)

    event_shape = ()
    width = 1

    def __post_init__(self) -> None:
        if not isinstance(self.labels, tuple | list) or len(self.labels) != 2 or not are_distinct(self.labels):
            raise ModelError(f"a binary variable needs two distinct labels, such as (0, 1), got {self.labels!r}.")
        object.__setattr__(self, "labels", plain(self.labels))

    def features(self, name: str, value: Tensor) -> Tensor:
        """The value as a single feature, ``(..., 1)``.

        Raises:
            ModelError: a value is neither 0 nor 1.
        """
        if not bool(((value == 0) | (value == 1)).all()):
            raise ModelError(f"variable {name!r} was given a value that is neither 0 nor 1.")
        return value.unsqueeze(-1)

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of labels as zeros and ones, float64."""
        return coded(name, column, self.labels).double()

    def decode(self, value: Tensor) -> Column:
        """Values as labels."""
        return decoded(value, self.labels)


@dataclass(frozen=True)
class Categorical:
    """One of ``k`` classes per unit; its values are the class indices 0 to k-1.

    Args:
        k: number of classes, at least 2.
        labels: what the data call the classes, in the order of their indices; by default the indices themselves.

    Raises:
        ModelError: ``k`` is below 2, or there are not ``k`` distinct labels.

    Example:
        >>> arm = Categorical(3, ("placebo", "low", "high"))
        >>> arm.encode("arm", np.array(["high", "placebo"])), arm.width
        (tensor([2, 0]), 3)
    """

    k: int
    labels: tuple[Label, ...] = ()

    event_shape = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", _size(self.k, 2, "a categorical variable needs k >= 2 classes"))
        object.__setattr__(self, "labels", checked_labels(self.k, self.labels))

    @property
    def width(self) -> int:
        """Number of features that a child sees."""
        return self.k

    def features(self, name: str, value: Tensor) -> Tensor:
        """The value as a one-hot vector, ``(..., k)``.

        Raises:
            ModelError: a value is no class index.
        """
        hot = value.unsqueeze(-1) == torch.arange(self.k, device=value.device)
        if not bool(hot.any(-1).all()):
            raise ModelError(f"variable {name!r} was given a value that is none of its classes 0 to {self.k - 1}.")
        return hot

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of labels as class indices, int64."""
        return coded(name, column, self.labels)

    def decode(self, value: Tensor) -> Column:
        """Class indices as labels."""
        return decoded(value, self.labels)


@dataclass(frozen=True)
class Ordinal:
    """One of ``k`` ordered levels per unit; its values are the indices 0 to k-1.

    Args:
        k: number of levels, at least 2.
        labels: what the data call the levels, from the lowest up; by default the indices themselves.

    Raises:
        ModelError: ``k`` is below 2, or there are not ``k`` distinct labels.

    Example:
        >>> stage = Ordinal(3, ("I", "II", "III"))
        >>> stage.features("stage", torch.tensor([0, 2]))
        tensor([[0],
                [2]])
    """

    k: int
    labels: tuple[Label, ...] = ()

    event_shape = ()
    width = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", _size(self.k, 2, "an ordinal variable needs k >= 2 levels"))
        object.__setattr__(self, "labels", checked_labels(self.k, self.labels))

    def features(self, name: str, value: Tensor) -> Tensor:
        """The index of the level as a single feature, ``(..., 1)``.

        Raises:
            ModelError: a value is no index of a level.
        """
        if not bool(((value >= 0) & (value < self.k) & (value == value.round())).all()):
            raise ModelError(f"variable {name!r} was given a value that is none of its levels 0 to {self.k - 1}.")
        return value.unsqueeze(-1)

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of labels as indices of levels, int64."""
        return coded(name, column, self.labels)

    def decode(self, value: Tensor) -> Column:
        """Indices of levels as labels."""
        return decoded(value, self.labels)


@dataclass(frozen=True)
class Image:
    """An image per unit, ``(channels, height, width)``, its intensities from 0 to 1.

    Args:
        channels: 1 for grey, 3 for colours.
        height: pixels from top to bottom.
        columns: pixels from left to right.

    Raises:
        ModelError: a size is no integer of at least 1.

    Example:
        >>> Image(1, 28, 28).event_shape
        (1, 28, 28)
    """

    channels: int
    height: int
    columns: int

    def __post_init__(self) -> None:
        for name in ("channels", "height", "columns"):
            object.__setattr__(self, name, _size(getattr(self, name), 1, f"an image needs {name} >= 1"))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one unit's value."""
        return (self.channels, self.height, self.columns)

    @property
    def width(self) -> int:
        """Number of features that a child sees."""
        return math.prod(self.event_shape)

    def features(self, name: str, value: Tensor) -> Tensor:
        """The pixels in a row, ``(..., channels * height * columns)``."""
        return value.flatten(-3)

    def encode(self, name: str, column: Column) -> Tensor:
        """Images as values, float64; bytes are shares of 255."""
        values = _numbers(name, column, "Image")
        if column.dtype == np.uint8:
            values = values / 255.0
        _refuse(name, values, (values < 0) | (values > 1), "are beyond 0 to 1", "Rescale them, or give bytes.")
        return values

    def decode(self, value: Tensor) -> Column:
        """Intensities from 0 to 1."""
        return _array(value)


Labelled = Binary | Categorical | Ordinal  # the kinds with labels
Discrete = Labelled | Count
Variable = Continuous | Positive | Count | Binary | Categorical | Ordinal | Image
VARIABLES = {kind.__name__: kind for kind in (Continuous, Positive, Count, Binary, Categorical, Ordinal, Image)}


def as_variable(name: str, kind: Variable | int) -> Variable:
    """The kind of a variable, where an integer stands for ``Continuous(dim)``.

    Raises:
        ModelError: it is neither.

    Example:
        >>> as_variable("dose", 2)
        Continuous(dim=2)
    """
    if isinstance(kind, Integral) and not isinstance(kind, bool):
        return Continuous(int(kind))
    if not isinstance(kind, Variable):
        raise ModelError(
            f"variable {name!r} is one of {', '.join(f'{known}()' for known in VARIABLES)}, or an integer for a vector "
            f"of real numbers, got {kind!r:.80}."
        )
    return kind


def _size(value: object, least: int, need: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ModelError(f"{need}, got {value!r:.80}.")
    return int(value)


def _numbers(name: str, column: Column, kind: str) -> Tensor:
    """A column of finite numbers, float64."""
    if np.iscomplexobj(column):
        raise DataError(f"column {name!r} holds complex numbers: give its real and imaginary part a column each.")
    try:
        numeric = column.dtype.kind in "biuf"
        if not numeric and (column.dtype.kind in "mM" or not all(isinstance(v, Number) for v in column.flat)):
            raise TypeError(f"they are of type {column.dtype}")
        values = torch.as_tensor(column.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"column {name!r} is declared {kind} but holds values that are not numbers ({error}). "
            f"Convert them, or declare the variable Categorical with its labels."
        ) from error
    if infinite := int(values.isinf().sum()):
        raise DataError(f"column {name!r} has {infinite} infinite values. Remove or correct these rows.")
    return values


def _refuse(name: str, values: Tensor, wrong: Tensor, what: str, mend: str = "Correct these rows.") -> None:
    if bool(wrong.any()):
        first = values[wrong][0].item()
        raise DataError(f"column {name!r} has {int(wrong.sum())} values that {what}, such as {first:g}. {mend}")


def _array(value: Tensor) -> Column:
    return value.detach().cpu().numpy()
