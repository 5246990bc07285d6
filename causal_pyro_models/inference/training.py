"""Training on data, with a validation split and early stopping; the objective comes from the model."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import pyro
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from causal_pyro_models.errors import DataError, FitError, QueryError, checked_count
from causal_pyro_models.models.data import Batch
from causal_pyro_models.seeding import seeded

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 20
CHECKS = 50  # validations in the course of a training
WARM_UP = 0.02  # share of the steps over which the learning rate rises to its peak
MAX_GRADIENT_NORM = 100.0
WEIGHT_DECAY = 0.6  # of matrices, not of biases; the networks overfit a few thousand rows without it


class Trainable(Protocol):
    """What ``fit`` asks of a model beside being a ``torch.nn.Module``."""

    def encode(self, data: Any) -> Batch:
        """A table as a batch, checked, on the model's device."""

    def initialise(self, batch: Batch) -> None:
        """Start afresh, from what the training data show at once."""

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Each variable's mean loss over the units, whose sum is minimised; schedules follow ``progress`` in [0, 1]."""

    def finish(self, train: Batch, validation: Batch) -> None:
        """Settle what the held-out units decide once the training is over."""


@dataclass(frozen=True)
class FitResult:
    """How a training went.

    Attributes:
        history: a list per quantity, one entry per validation: ``step``, ``loss`` (mean over the batches since the
            last one), ``validation`` (loss on the held-out units) and ``learning_rate``.
        best_step: the step whose weights the model kept.
        steps: steps taken; fewer than allowed where validation stopped improving.
        seconds_per_step: wall time, validations included.
    """

    history: dict[str, list[float]]
    best_step: int
    steps: int
    seconds_per_step: float

    def to_dataframe(self) -> pd.DataFrame:
        """The history, indexed by step."""
        import pandas as pd

        return pd.DataFrame(self.history).astype({"step": int}).set_index("step")


def fit(
    model: Trainable,
    data: pd.DataFrame | Mapping[str, Any],
    *,
    steps: int = 600,
    batch_size: int = 512,
    learning_rate: float = 1e-2,
    validation: float = 0.1,
    patience: int = 25,
    seed: int | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a model on data from scratch; it keeps the weights that did best on held-out units.

    Adam with a learning rate that rises briefly and falls along a cosine. The same seed gives the same weights, bit for
    bit, on the same machine.

    Args:
        model: any model with the methods of ``Trainable``, for example a ``CausalFlow``.
        data: a DataFrame, or a mapping from names to arrays ``(units,)``.
        steps: training steps, one mini-batch each.
        batch_size: units per mini-batch.
        learning_rate: the peak of the learning rate.
        validation: share of the units held out.
        patience: validations (there are 50 over all the steps) without improvement before training stops.
        seed: for the split, the initial weights and the batches; None draws from the global random state.
        device: where to train; the model stays there. None leaves it where it is.
        progress: show a progress bar.

    Raises:
        DataError: the data do not fit the variables, or are too few.
        UnknownVariableError: a variable of the model is not in the data.
        QueryError: a setting out of its range.
        FitError: the model has no objective, or a loss or gradient is not finite, in which case the model keeps the
            best weights until then.

    Example:
        >>> from causal_pyro_models.graph import CausalGraph
        >>> from causal_pyro_models.models import CausalFlow, Continuous
        >>> x = torch.linspace(-1, 1, 200)
        >>> data = {"X": x, "Y": 2 * x + 0.1 * torch.cos(50 * x)}
        >>> model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": Continuous(), "Y": Continuous()})
        >>> result = fit(model, data, steps=50, seed=0, progress=False)
        >>> result.history["validation"][-1] < result.history["validation"][0]
        True
    """
    _check_settings(steps, batch_size, learning_rate, validation, patience)
    if not isinstance(model, nn.Module):
        raise FitError(f"fit trains a torch.nn.Module with an objective, got {type(model).__name__}.")
    if missing := [name for name in ("encode", "initialise", "losses", "finish") if not hasattr(model, name)]:
        raise FitError(f"fit trains a model with an objective, and {type(model).__name__} has no {missing[0]}().")
    if device is not None:
        model.to(_usable(device))
    with seeded(seed), pyro.validation_enabled(False):  # a loss that is not finite is noticed at every step
        values = model.encode(data)
        for name, absent in values.missing.items():
            raise DataError(
                f"column {name!r} has {int(absent.sum())} missing values, the first in row "
                f"{int(absent.int().argmax())}. Drop these rows or impute them first."
            )
        train, held_out = _split(values, validation)
        model.initialise(train)
        loop = _Loop(model, train, held_out, steps, batch_size, learning_rate)
        result = loop.run(patience, progress)
        model.finish(train, held_out)
    return result


class _Loop:
    """The training loop, and the best weights it has met."""

    def __init__(
        self, model: Any, train: Batch, held_out: Batch, steps: int, batch_size: int, learning_rate: float
    ) -> None:
        self.model, self.train, self.held_out = model, train, held_out
        self.steps, self.batch_size, self.learning_rate = steps, batch_size, learning_rate
        weights = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in weights if p.ndim >= 2], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.weights = weights
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), fused=True)
        self.history: dict[str, list[float]] = {"step": [], "loss": [], "validation": [], "learning_rate": []}
        self.best_step, self.best_loss = 0, math.inf
        self.validate(0, math.nan)

    def run(self, patience: int, progress: bool) -> FitResult:
        from tqdm.auto import tqdm

        every = max(1, self.steps // CHECKS)
        start, running, stale = time.perf_counter(), 0.0, 0
        batches = _batches(self.train, self.batch_size)
        with tqdm(total=self.steps, desc="fit", unit="step", disable=not progress) as bar:
            for step in range(1, self.steps + 1):
                running += self.update(step, next(batches))
                bar.update()
                if step % every and step < self.steps:
                    continue
                self.validate(step, running / every)
                bar.set_postfix(loss=f"{running / every:.4f}", validation=f"{self.history['validation'][-1]:.4f}")
                running, stale = 0.0, step - self.best_step
                if stale >= patience * every:
                    break
        self.restore()
        return FitResult(self.history, self.best_step, step, (time.perf_counter() - start) / step)

    def update(self, step: int, batch: Batch) -> float:
        """One step of the optimiser; the loss before it."""
        done = (step - 1) / self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * _schedule(done)
        loss = sum(self.model.losses(batch, done).values())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.weights, MAX_GRADIENT_NORM)
        value = float(loss.detach())
        if not math.isfinite(value + float(norm)):
            self.fail(step, batch, done)
        self.optimiser.step()
        return value

    @torch.no_grad()
    def validate(self, step: int, loss: float) -> None:
        """Note how the held-out units fare, and keep the weights if they never fared better."""
        held_out = float(sum(self.model.losses(self.held_out, 1.0).values()))
        rate = self.optimiser.param_groups[0]["lr"]
        for name, value in zip(self.history, (step, loss, held_out, rate), strict=True):
            self.history[name].append(value)
        if held_out < self.best_loss or step == 0:
            self.best_step, self.best_loss = step, held_out
            self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def restore(self) -> None:
        """Put the best weights back."""
        self.model.load_state_dict(self.best)

    def fail(self, step: int, batch: Batch, done: float) -> NoReturn:
        """Name the variables whose loss or gradient is not finite."""
        culprits = []
        for name, loss in self.model.losses(batch, done).items():
            gradients = torch.autograd.grad(loss, self.weights, allow_unused=True, retain_graph=True)
            if not all(bool(torch.isfinite(t).all()) for t in (loss, *gradients) if t is not None):
                culprits.append(name)
        self.restore()
        raise FitError(
            f"the loss of {', '.join(culprits)} is not finite at step {step}. The model keeps the weights of step "
            f"{self.best_step}. Look for extreme values in these columns, or lower learning_rate (it is "
            f"{self.learning_rate})."
        )


def _schedule(done: float) -> float:
    """The learning rate as a share of its peak."""
    return min(1.0, (done + 1e-3) / WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * done))


def _split(values: Batch, validation: float) -> tuple[Batch, Batch]:
    """The training units and the held-out ones."""
    units = len(values)
    if units < MIN_ROWS:
        raise DataError(f"{units} rows are too few to train on and to hold some out: at least {MIN_ROWS} are needed.")
    order = torch.randperm(units)
    held_out = max(2, round(validation * units))
    return values[order[held_out:]], values[order[:held_out]]


def _batches(values: Batch, size: int) -> Iterator[Batch]:
    """Mini-batches without end, in a new order every epoch; a last one that is short is left out."""
    units = len(values)
    size = min(size, units)
    while True:
        order = torch.randperm(units)
        for start in range(0, units - size + 1, size):
            yield values[order[start : start + size]]


def _usable(device: object) -> torch.device:
    """A device, once a tensor was there and back."""
    try:
        if isinstance(device, bool) or not isinstance(device, str | int | torch.device):
            raise TypeError(f"it is of type {type(device).__name__}")
        found = torch.device(device)
        torch.zeros((), device=found).item()
    except (AssertionError, RuntimeError, TypeError) as error:  # the first where torch was built without CUDA
        reason = str(error).splitlines()[0].removesuffix(".")
        raise QueryError(f"the device {device!r:.80} cannot be used: {reason:.200}. Take 'cpu' or 'cuda'.") from error
    return found


def _check_settings(steps: int, batch_size: int, learning_rate: float, validation: float, patience: int) -> None:
    for name, count in {"steps": steps, "batch_size": batch_size, "patience": patience}.items():
        checked_count(count, name)
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, Real) or not 0.0 < learning_rate < math.inf:
        raise QueryError(f"learning_rate must be a positive number, got {learning_rate!r:.80}.")
    if not isinstance(validation, Real) or not 0.0 < validation <= 0.5:
        raise QueryError(f"validation is the share of units held out, above 0 and at most 0.5, got {validation!r:.80}.")
