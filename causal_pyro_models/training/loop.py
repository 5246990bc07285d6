"""The training loop: mini-batches, validation, early stopping, the best weights, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import FitError
from causal_pyro_models.isolation import let_others
from causal_pyro_models.training.callbacks import Callback
from causal_pyro_models.training.checkpoints import Checkpoint, Snapshot

if TYPE_CHECKING:
    import pandas as pd

CHECKS = 50  # validations in the course of a training, by default
WARM_UP = 0.02  # share of the steps over which the learning rate rises to its peak
MAX_GRADIENT_NORM = 100.0
CHECKPOINT_SECONDS = 30.0  # the most that is lost where validations are further apart

FEW = 4  # units that fail one by one where the weights are at fault, not the data


@dataclass(frozen=True)
class FitResult:
    """How a training went.

    Attributes:
        history: a list per quantity, one entry per validation: ``step``, ``loss`` (mean over the batches since the
            last one), ``validation`` (loss on the held-out units) and ``learning_rate``.
        best_step: the step whose weights the model kept.
        steps: steps taken; fewer than allowed where validation stopped improving.
        seconds_per_step: wall time, validations included.
        adversarial: how the adversarial training went that followed; None where there was none.

    Example:
        >>> history = {"step": [0, 10], "loss": [math.nan, 1.2], "validation": [1.4, 1.3], "learning_rate": [0, 0.01]}
        >>> FitResult(history, best_step=10, steps=10, seconds_per_step=0.01).to_dataframe()["validation"].tolist()
        [1.4, 1.3]
    """

    history: dict[str, list[float]]
    best_step: int
    steps: int
    seconds_per_step: float
    adversarial: FitResult | None = None

    def to_dataframe(self) -> pd.DataFrame:
        """The history, indexed by step."""
        import pandas as pd

        return pd.DataFrame(self.history).astype({"step": int}).set_index("step")


class NotFinite(Exception):
    """A loss or gradient that is not finite, with the names of the losses."""


class Objective(Protocol):
    """What the loop minimises."""

    optimisers: dict[str, torch.optim.Optimizer]
    modules: dict[str, nn.Module]  # what is trained beside the model, and not kept
    checks: int  # validations in the course of the training

    @property
    def deck(self) -> Deck | None:
        """The units that mini-batches are drawn from; None where the loop need not know of them."""

    def update(self, progress: float) -> float:
        """One step; the loss before it. Raises NotFinite where it is no number."""

    def validate(self) -> float:
        """How the held-out units fare, smaller is better."""

    def culprits(self, units: Tensor, progress: float) -> list[str]:
        """The losses that are not finite on some units of the deck."""


class Descent:
    """A gradient step on a sum of losses: clipped, with the learning rate of a schedule.

    Args:
        groups: what is trained, each group with its ``weight_decay``; see :func:`decayed`.
        learning_rate: the peak of the learning rate.
        betas: of Adam.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], learning_rate: float, betas: tuple[float, float]) -> None:
        self.weights = [weight for group in groups for weight in group["params"]]
        self.learning_rate = learning_rate
        self.optimiser = torch.optim.AdamW([dict(g) for g in groups], lr=learning_rate, betas=betas, fused=True)

    def step(self, losses: Mapping[str, Tensor], progress: float) -> float:
        """Descend; the loss before it.

        Raises:
            NotFinite: the loss or its gradient is not finite; the weights are unchanged.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * schedule(progress)
        loss: Tensor = sum(losses.values())  # type: ignore[assignment]  # never empty
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = clip_grad_norm_(self.weights, MAX_GRADIENT_NORM)
        value = float(loss.detach())
        if not math.isfinite(value + float(norm)):
            raise NotFinite
        self.optimiser.step()
        return value

    def not_finite(self, losses: Mapping[str, Tensor]) -> list[str]:
        """The losses that are not finite, or whose gradients are not."""
        found = []
        for name, loss in losses.items():
            gradients = torch.autograd.grad(loss, self.weights, allow_unused=True, retain_graph=True)
            if not all(bool(torch.isfinite(t).all()) for t in (loss, *gradients) if t is not None):
                found.append(name)
        return found


def decayed(weights: Iterable[nn.Parameter], weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """The weights that are trained in two groups: matrices, which decay, and biases, which do not."""
    trained = [weight for weight in weights if weight.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def schedule(progress: float) -> float:
    """The learning rate as a share of its peak: a brief rise, then a cosine down to zero."""
    return min(1.0, (progress + 1e-3) / WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * progress))


class Deck:
    """Units in a new order every epoch, drawn in mini-batches; a last one that is short is left out.

    Args:
        train: the units.
        rows: where each of them stood in the data.
        size: units per mini-batch.
    """

    def __init__(self, train: Batch, rows: Tensor, size: int) -> None:
        self.train, self.rows, self.size = train, rows, min(size, len(train))
        self.order, self.position = torch.arange(len(train)), len(train)
        self.drawn = self.order[:0]

    def draw(self) -> Batch:
        """The next ``size`` units; ``drawn`` has their indices."""
        if self.position + self.size > len(self.order):
            self.order, self.position = torch.randperm(len(self.order)), 0
        self.position += self.size
        self.drawn = self.order[self.position - self.size : self.position]
        return self.train[self.drawn]


class Loop:
    """A training in progress, and the best weights it has met.

    Args:
        model: its weights are trained, and its best ones kept.
        objective: what is minimised.
        steps: the most steps to take.
        patience: validations without improvement before training stops.
        label: what the training is called.
        checkpoint: where to write the state, if anywhere.
        callbacks: called at every validation.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        *,
        steps: int,
        patience: int,
        label: str,
        checkpoint: Checkpoint | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model, self.objective = model, objective
        self.steps, self.patience, self.label = steps, patience, label
        self.checkpoint, self.callbacks = checkpoint, callbacks
        self.every = max(1, steps // objective.checks)
        self.history: dict[str, list[float]] = {"step": [], "loss": [], "validation": [], "learning_rate": []}
        self.step, self.best_step, self.best_loss = 0, 0, math.inf
        self.running, self.seconds = 0.0, 0.0  # loss since the last validation; time of earlier runs of this training
        self.best: dict[str, Tensor] = {}

    def run(self, progress: bool, saved: Snapshot | None = None) -> FitResult:
        """Train from the start, or from where a checkpoint left off.

        Raises:
            FitError: a loss or gradient is not finite; the model keeps its best weights.
        """
        from tqdm.auto import tqdm

        self._begin = self._written = time.perf_counter()
        self.best = self._copy()
        if saved:
            self._load(saved)
        else:
            self._validate(math.nan)
        try:
            hidden = not (progress and self.steps)
            with tqdm(total=self.steps, initial=self.step, desc=self.label, unit="step", disable=hidden) as bar:
                while not self._finished():
                    self._advance()
                    let_others()
                    bar.update()
                    if self._validated():
                        bar.set_postfix(self._shown(), refresh=False)
        finally:  # an interrupted training keeps its best weights as well
            self.model.load_state_dict(self.best)
        return FitResult(self.history, self.best_step, self.step, self._elapsed() / max(self.step, 1))

    def _finished(self) -> bool:
        return self.step >= self.steps or self.step - self.best_step >= self.patience * self.every

    def _validated(self) -> bool:
        """Whether there is a validation after the last step."""
        return self.step % self.every == 0 or self.step == self.steps

    def _advance(self) -> None:
        """One step, and the validation after it where one is due."""
        progress = self.step / self.steps
        try:
            self.running += self.objective.update(progress)
        except NotFinite:
            raise self._fault(progress) from None
        self.step += 1
        if self._validated():
            loss, self.running = self.running / (self.step - int(self.history["step"][-1])), 0.0
            self._validate(loss)
        elif self.checkpoint and time.perf_counter() - self._written > CHECKPOINT_SECONDS:
            self._write()

    @torch.no_grad()
    def _validate(self, loss: float) -> None:
        """Note how the held-out units fare, and keep the weights if they never fared better."""
        held_out = self.objective.validate()
        rate = next(iter(self.objective.optimisers.values())).param_groups[0]["lr"]
        for name, value in zip(self.history, (self.step, loss, held_out, rate), strict=True):
            self.history[name].append(value)
        if held_out < self.best_loss:
            self.best_step, self.best_loss, self.best = self.step, held_out, self._copy()
        if self.checkpoint:
            self._write()
        for callback in self.callbacks:
            callback(self.label, self.model, {name: values[-1] for name, values in self.history.items()})

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _shown(self) -> dict[str, str]:
        return {name: f"{self.history[name][-1]:.4f}" for name in ("loss", "validation")}

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self._begin

    def _fault(self, progress: float) -> FitError:
        """Name the variables whose loss or gradient is not finite, and the rows of the batch."""
        deck = self.objective.deck
        units = torch.arange(0) if deck is None else deck.drawn
        names = self.objective.culprits(units, progress)
        rows = [] if deck is None else deck.rows[self._guilty(units, progress)].tolist()
        shown = ", ".join(map(str, rows[:10])) + (f" and {len(rows) - 10} more" if len(rows) > 10 else "")
        error = FitError(
            f"the loss of {', '.join(names)} is not finite at step {self.step + 1} of {self.label}"
            f"{f', on a batch with the rows {shown}' if rows else ''}. The model keeps the weights of step "
            f"{self.best_step}. Look for extreme values in these columns, or lower learning_rate."
        )
        error.variables, error.rows = tuple(names), tuple(rows)
        return error

    def _guilty(self, units: Tensor, progress: float) -> Tensor:
        """The units on which a loss is not finite; all of them where it is so on any few, or only on all together."""

        def fails(part: Tensor) -> bool:
            return bool(self.objective.culprits(part, progress))

        found, halves = [], [units] if not all(fails(unit) for unit in units[:FEW].split(1)) else []
        while halves:
            half = halves.pop()
            if fails(half):
                if len(half) == 1:
                    found.append(half)
                else:
                    halves += half.tensor_split(2)
        return torch.cat(found) if found else units

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        assert self.checkpoint is not None
        modules = {"model": self.model, **self.objective.modules}
        tensors = {f"{part}/{n}": t for part, module in modules.items() for n, t in module.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for part, optimiser in self.objective.optimisers.items():
            for i, state in optimiser.state_dict()["state"].items():
                tensors |= {f"{part}/{i}/{key}": value for key, value in state.items()}
        if self.objective.deck is not None:
            tensors["order"] = self.objective.deck.order
        self.checkpoint.write(self.label, {**self._position(), "seconds": self._elapsed()}, tensors)
        self._written = time.perf_counter()

    def _position(self) -> dict[str, Any]:
        names = ("history", "step", "best_step", "best_loss", "running")
        position = 0 if self.objective.deck is None else self.objective.deck.position
        return {name: getattr(self, name) for name in names} | {"position": position}

    def _load(self, saved: Snapshot) -> None:
        for name in ("history", "step", "best_step", "best_loss", "running", "seconds"):
            setattr(self, name, saved.description[name])
        if self.objective.deck is not None:
            self.objective.deck.order = saved.tensors["order"]
            self.objective.deck.position = saved.description["position"]
        device = next(self.model.parameters()).device
        self.best = {name: tensor.to(device) for name, tensor in saved.part("best").items()}
        for part, module in {"model": self.model, **self.objective.modules}.items():
            module.load_state_dict(saved.part(part))
        for part, optimiser in self.objective.optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in saved.part(part).items():
                i, key = name.split("/")
                state.setdefault(int(i), {})[key] = tensor
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        saved.restore_random("now")
