"""Labels of classes, and the codes that stand for them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causal_pyro_models.errors import DataError, ModelError

Label = str | int | float | bool
Column = np.ndarray[Any, Any]


def checked_labels(k: int, labels: object) -> tuple[Label, ...]:
    """The labels of ``k`` classes, by default 0 to k-1; ModelError where they are not as many distinct ones."""
    labels = labels or tuple(range(k))
    if not isinstance(labels, tuple | list) or len(labels) != k or not are_distinct(labels):
        raise ModelError(f"a variable of {k} classes needs as many distinct labels, got {labels!r:.200}.")
    return plain(labels)


def are_distinct(labels: Sequence[Any]) -> bool:
    """Whether labels can be told apart."""
    return all(isinstance(label, Hashable) for label in labels) and len(set(labels)) == len(labels)


def plain(labels: Sequence[Any]) -> tuple[Label, ...]:
    """Labels as Python's own strings and numbers, which a file can hold."""
    return tuple(label.item() if isinstance(label, np.generic) else label for label in labels)


def coded(name: str, column: Column, labels: tuple[Label, ...]) -> Tensor:
    """A column of labels as their codes, int64."""
    index = {label: i for i, label in enumerate(labels)}
    values = column.tolist()
    if unknown := sorted({str(v) for v in values if not isinstance(v, Hashable) or v not in index}):
        raise DataError(
            f"column {name!r} has values that are none of its labels {list(labels)!r}: {', '.join(unknown[:5])}. "
            f"Correct these rows, or declare the variable with all its labels."
        )
    return torch.tensor([index[v] for v in values], dtype=torch.int64)


def decoded(value: Tensor, labels: tuple[Label, ...]) -> Column:
    """Codes as labels."""
    index = value.detach().cpu().numpy()
    if not np.isin(index, np.arange(len(labels))).all():
        raise DataError(f"values must be the indices 0 to {len(labels) - 1} of the labels {list(labels)!r}.")
    alike = len({type(label) for label in labels}) == 1
    return np.array(labels, dtype=None if alike and not isinstance(labels[0], str) else object)[index.astype(np.int64)]
