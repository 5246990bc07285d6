"""Training: any model that says what it minimises, by mini-batches, with the best weights kept."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import pyro
import torch
from torch import nn

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.data.regimes import Intervened, Pairs
from causal_pyro_models.errors import DataError, FitError, QueryError
from causal_pyro_models.isolation import isolated
from causal_pyro_models.models.networks.preparation import Preparation
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.models.support import remember
from causal_pyro_models.seeding import seeded
from causal_pyro_models.training.adversarial import Duel
from causal_pyro_models.training.callbacks import Callback
from causal_pyro_models.training.checkpoints import Checkpoint, digest, outline
from causal_pyro_models.training.critics import adversary_of
from causal_pyro_models.training.halves import half, half_of_pairs
from causal_pyro_models.training.likelihood import Likelihood, Trainable
from causal_pyro_models.training.loop import Deck, FitResult as FitResult, Loop, Objective
from causal_pyro_models.training.preparing import Preparing
from causal_pyro_models.validation import checked_count

MIN_ROWS = 20
LABEL = "fit"


@isolated
def fit(
    model: Trainable,
    data: Any,
    *,
    steps: int = 500,
    batch_size: int = 512,
    learning_rate: float = 1e-2,
    validation: float = 0.1,
    patience: int = 25,
    intervention_weight: float = 1.0,
    pairs: Pairs | Sequence[Pairs] = (),
    adversarial_steps: int = 300,
    refits: int = 0,
    seed: int | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | PathLike[str] | None = None,
) -> FitResult:
    """Train a model on data from scratch; it keeps the weights that did best on held-out units.

    Adam with a learning rate that rises briefly and falls along a cosine. The same seed gives the same weights, bit for
    bit, on the same machine. Interventional data have no term for the variables that were set, so that the objective is
    that of every regime in turn. Where it is interrupted, the model keeps its best weights until then; in the start,
    what was found of it. Variables that the start leaves nothing to find of are not trained (``settled``); if all are,
    or the model has no weights, no step is taken.

    Args:
        model: any model with the methods of ``Trainable``, for example a ``CausalFlow``.
        data: a DataFrame, a mapping from names to arrays ``(units, *event)``, a torch ``Dataset`` or ``DataLoader`` of
            such mappings, ``Intervened`` data, or a list of these. A column ``regime`` names what was set in each row.
            NaN is missing at random; the model then learns to impute it, see ``impute``.
        steps: training steps, one mini-batch each.
        batch_size: units per mini-batch, observational and interventional ones mixed.
        learning_rate: the peak of the learning rate.
        validation: share of the units held out.
        patience: validations (there are 50 over all the steps) without improvement before training stops.
        intervention_weight: the weight of a unit in which something was set, where others weigh 1.
        pairs: true counterfactuals, which the model's own are drawn to; see ``training.pairs``.
        adversarial_steps: steps of the generators in the adversarial training that follows, for models that have it.
        refits: how many times the model is fitted again, to a random half of the units and in half the steps. All verbs
            then answer with the doubt of the data; without them with that of the simulation alone. 12 are enough for
            intervals; with them a fit takes 7 to 14 times as long, and its file 7 to 11 times the space. By default
            there are none.
        seed: for the split, the initial weights and the batches; None draws from the global random state.
        device: where to train; the model stays there. None leaves it where it is.
        progress: show a progress bar.
        callbacks: called at every validation, such as ``TensorBoard(folder)``.
        checkpoint: a file that the state of the training is kept in. Where it exists, training goes on from it, and
            ends with the same bits as if it had never been stopped.

    Raises:
        CheckpointError: the checkpoint is of other data, other settings or another model.
        DataError: the data do not fit the variables, or are too few.
        FormatError: the checkpoint is damaged.
        UnknownVariableError: a variable of the model is not in the data.
        QueryError: a setting out of its range.
        FitError: the model has no objective, or a loss or gradient is not finite, in which case the model keeps the
            best weights until then, and the error has the variables and the rows.

    References:
        R. Gulrajani et al. (2017) for adversarial training; see ``Duel``. J. Shao, C. Wu (1989). A general theory for
        jackknife variance estimation. Annals of Statistics, for refits.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph, Continuous
        >>> x = torch.linspace(-1, 1, 200)
        >>> data = {"X": x, "Y": 2 * x + 0.1 * torch.cos(50 * x)}
        >>> model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": Continuous(), "Y": Continuous()})
        >>> result = fit(model, data, steps=50, seed=0, progress=False)
        >>> result.history["validation"][-1] < result.history["validation"][0]
        True
    """
    settings = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation": validation,
        "patience": patience,
        "intervention_weight": intervention_weight,
        "adversarial_steps": adversarial_steps,
    }
    _check_settings(settings, callbacks)
    if checked_count(refits, "refits", least=0) == 1:
        raise QueryError("refits must be 0 or at least 2: one alone has no spread.")
    module = _checked_module(model)
    if device is not None:
        module.to(_usable(device))
    with seeded(seed), pyro.validation_enabled(False):  # a loss that is not finite is noticed at every step
        batch = model.begin(data) if isinstance(model, StructuralCausalModel) else model.encode(data)
        batch = _weighted(batch, intervention_weight)
        twins = _encoded_pairs(model, pairs)
        file = None
        if checkpoint is not None:
            of = {"data": digest(batch), "pairs": "".join(map(digest, twins)), "model": outline(module)}
            file = Checkpoint(checkpoint, {**of, **settings, "seed": seed})
        if refits and len(batch) < 2 * MIN_ROWS:
            raise DataError(
                f"{len(batch)} rows are too few to fit to random halves of them: at least {2 * MIN_ROWS} are needed, "
                f"or refits=0."
            )
        training = _Training(settings, _Run(patience, progress, callbacks, file))
        _set_refits(module, ())
        result = training(module, batch, twins)
        if refits:
            _refit(training, module, batch, twins, refits)
    return result


@dataclasses.dataclass
class _Training:
    """All that is trained of a model, the same for the model and its refits.

    Attributes:
        settings: the numbers that ``fit`` is given.
        run: runs one training after the other.
        prefix: of their labels.
    """

    settings: Mapping[str, Any]
    run: _Run
    prefix: str = ""

    def __call__(self, module: Any, batch: Batch, twins: tuple[Batch, ...]) -> FitResult:
        from tqdm.auto import tqdm

        validation, batch_size = self.settings["validation"], self.settings["batch_size"]
        order = torch.randperm(_enough(batch))
        held = max(2, round(validation * len(batch)))
        train, held_out = batch[order[held:]], batch[order[:held]]
        run = self.run
        starts = _Starts(run, self.prefix)
        with tqdm(desc="start", bar_format="{desc} ...", leave=False, disable=not run.progress):
            module.initialise(train, starts)
        starts.check()
        deck = Deck(train, order[held:], batch_size)
        pairs = _split_pairs(twins, validation)
        likelihood = Likelihood(module, deck, held_out, self.settings["learning_rate"], pairs)
        result = run(self.prefix + LABEL, module, likelihood, 0 if likelihood.idle else self.settings["steps"])
        if not twins:  # what they teach, held-out densities do not show
            module.finish(train, held_out)
        adversary = adversary_of(module, train)
        if adversary is not None:
            _check_complete(batch)
            deck = Deck(train, order[held:], batch_size)
            duel = Duel(adversary, deck, held_out)
            fought = run(f"{self.prefix}adversarial", module, duel, self.settings["adversarial_steps"])
            result = dataclasses.replace(result, adversarial=fought)
        if isinstance(module, StructuralCausalModel) and not self.prefix:  # refits are asked what their model is
            remember(module, train, held_out)
        return result


def _refit(training: _Training, module: nn.Module, batch: Batch, twins: tuple[Batch, ...], count: int) -> None:
    """Train copies of a model on random halves of its data, in half the steps; those that are trained are kept."""
    from tqdm.auto import tqdm

    halved = {name: max(1, training.settings[name] // 2) for name in ("steps", "adversarial_steps")}
    quiet = dataclasses.replace(training.run, progress=False, callbacks=())
    untrained = copy.deepcopy(module)
    if isinstance(untrained, StructuralCausalModel):
        untrained.support = None
    for k in tqdm(range(count), desc="refits", unit="fit", disable=not training.run.progress):
        refit = copy.deepcopy(untrained)
        again = _Training({**training.settings, **halved}, quiet, f"refit {k + 1}: ")
        again(refit, batch[half(batch)], half_of_pairs(twins))
        _set_refits(module, (*getattr(module, "refits", ()), refit))


def _set_refits(module: nn.Module, refits: tuple[nn.Module, ...]) -> None:
    module.refits = refits  # type: ignore[assignment]  # a tuple: they are no parts of the module


@dataclasses.dataclass
class _Run:
    """Trainings one after the other, each gone on with where a checkpoint left off."""

    patience: int
    progress: bool
    callbacks: Sequence[Callback]
    checkpoint: Checkpoint | None

    def __call__(
        self, label: str, model: nn.Module, objective: Objective, steps: int, patience: int | None = None
    ) -> FitResult:
        file = self.checkpoint
        if file and (kept := file.recall(label, model)) is not None:
            return FitResult(**kept)
        loop = Loop(
            model,
            objective,
            steps=steps,
            patience=self.patience if patience is None else patience,
            label=label,
            checkpoint=file,
            callbacks=self.callbacks,
        )
        result = loop.run(self.progress, file.saved if file and file.saved and file.saved.label == label else None)
        if file:
            file.keep(label, dataclasses.asdict(result), model)
        return result


@dataclasses.dataclass
class _Starts:
    """Runs the preparations of a start. Where one is interrupted, the start is made of what was found until then."""

    run: _Run
    prefix: str = ""
    count: int = 0
    interrupted: KeyboardInterrupt | None = None

    def __call__(self, preparation: Preparation) -> None:
        if self.interrupted:
            return
        self.count += 1
        label = self.prefix + ("start" if self.count == 1 else f"start {self.count}")
        try:
            self.run(label, preparation, Preparing(preparation), preparation.steps, patience=Preparing.checks)
        except KeyboardInterrupt as interrupted:
            self.interrupted = interrupted

    def check(self) -> None:
        """Raise the interruption, once the start is made."""
        if self.interrupted:
            raise self.interrupted


def _weighted(batch: Batch, intervention_weight: float) -> Batch:
    """Units in which something was set weigh more or less."""
    if intervention_weight == 1.0 or not batch.intervened:
        return batch
    somewhere = torch.stack(list(batch.intervened.values())).any(0)
    like = next(value for value in batch.values.values())
    weight = torch.ones(len(batch), device=like.device, dtype=torch.get_default_dtype())
    return dataclasses.replace(batch, weight=weight.masked_fill(somewhere, intervention_weight))


def _encoded_pairs(model: Any, pairs: Pairs | Sequence[Pairs]) -> tuple[Batch, ...]:
    """The factual and the counterfactual units of pairs, or nothing."""
    pairs = [pairs] if isinstance(pairs, Pairs) else list(pairs)
    if not all(isinstance(part, Pairs) for part in pairs):
        raise QueryError(f"pairs must be Pairs(factual, counterfactual, targets) or a list of them, got {pairs!r:.80}.")
    if not pairs:
        return ()
    factual = model.encode([part.factual for part in pairs])
    counterfactual = model.encode([Intervened(part.counterfactual, part.targets) for part in pairs])
    if len(factual) != len(counterfactual):
        raise DataError(
            f"there are {len(factual)} factual units and {len(counterfactual)} counterfactual ones in pairs."
        )
    if missing := [*factual.missing, *counterfactual.missing]:
        raise DataError(f"the pairs miss values of {missing[0]!r}: drop these units.")
    if len(factual) < MIN_ROWS:
        raise DataError(f"{len(factual)} pairs are too few to learn from: at least {MIN_ROWS} are needed.")
    if isinstance(model, StructuralCausalModel):
        return model.as_trained(factual), model.as_trained(counterfactual)
    return factual, counterfactual


def _split_pairs(pairs: tuple[Batch, ...], validation: float) -> list[tuple[Batch, Batch]]:
    """Pairs to train on and pairs to validate on; nothing where there are none."""
    if not pairs:
        return []
    factual, counterfactual = pairs
    order = torch.randperm(len(factual))
    held = max(2, round(validation * len(factual)))
    return [(factual[part], counterfactual[part]) for part in (order[held:], order[:held])]


def _enough(batch: Batch) -> int:
    if len(batch) < MIN_ROWS:
        raise DataError(
            f"{len(batch)} rows are too few to train on and to hold some out: at least {MIN_ROWS} are needed."
        )
    for name, absent in batch.missing.items():
        if bool(absent.all()):
            raise DataError(f"column {name!r} has no values: all {len(absent)} are missing. Leave it out of the graph.")
    return len(batch)


def _check_complete(batch: Batch) -> None:
    for name, absent in batch.missing.items():
        raise DataError(
            f"column {name!r} has {int(absent.sum())} missing values, the first in row "
            f"{int(absent.int().argmax())}, and adversarial training takes none. Drop these rows or impute them first."
        )


def _checked_module(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise FitError(f"fit trains a torch.nn.Module with an objective, got {type(model).__name__}.")
    if missing := [name for name in ("encode", "initialise", "losses", "finish") if not hasattr(model, name)]:
        raise FitError(f"fit trains a model with an objective, and {type(model).__name__} has no {missing[0]}().")
    return model


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


def _check_settings(settings: Mapping[str, Any], callbacks: object) -> None:
    for name in ("steps", "batch_size", "patience", "adversarial_steps"):
        checked_count(settings[name], name)
    for name in ("learning_rate", "intervention_weight"):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, float | int) or not 0.0 < value < math.inf:
            raise QueryError(f"{name} must be a positive number, got {value!r:.80}.")
    validation: Any = settings["validation"]
    if not isinstance(validation, float | int) or not 0.0 < validation <= 0.5:
        raise QueryError(f"validation is the share of units held out, above 0 and at most 0.5, got {validation!r:.80}.")
    if not isinstance(callbacks, list | tuple) or not all(callable(callback) for callback in callbacks):
        raise QueryError(
            f"callbacks must be a list of functions, such as [TensorBoard(folder)], got {callbacks!r:.80}."
        )
