"""What a model owes as a module: files, seeds, precision, types and devices."""

from __future__ import annotations

import copy
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor
from torch.distributions import biject_to

from causal_pyro_models.evaluation.conformance.subject import (
    ROUNDING,
    Finding,
    Findings,
    LeftOut,
    RecordedSite,
    Subject,
    plain,
    sites,
)
from causal_pyro_models.inference import abduct, counterfactual, sample
from causal_pyro_models.models import StructuralCausalModel, load, save
from causal_pyro_models.scm.handlers import exogenize
from causal_pyro_models.scm.mechanisms.samples import draw
from causal_pyro_models.training import fit

STEPS = 3  # of a training whose bits are compared
TAIL = 2.0  # how much further out than drawn noise the tails are looked at, in unconstrained coordinates
TRAINABLE = ("encode", "initialise", "losses", "finish")


def files(subject: Subject) -> Findings:
    """A saved model comes back of the same class, with the same bits, and predicts the same bits."""
    model = subject.model
    if not isinstance(model, StructuralCausalModel):
        raise LeftOut("files hold StructuralCausalModels")
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model.safetensors")
        again = load(Path(folder) / "model.safetensors").to(next(iter(subject.values.values())).device)
    yield Finding(float(type(again) is not type(model)), 0.0, f"it comes back as a {type(again).__name__}")
    yield Finding(_unlike(model.state_dict(), again.state_dict()), 0.0, "tensors come back with other bits")
    name = next(iter(subject.evidence))
    do = {name: subject.elsewhere(name)}
    ours, theirs = (counterfactual(plain(each), subject.noise, do, seed=subject.seed) for each in (model, again))
    yield Finding(_unlike(ours, theirs), 0.0, "it predicts other bits from the same noise")


def seeds(subject: Subject) -> Findings:
    """The same seed gives the same bits, another one another sample, and the global state stays as it was."""
    before = _global_state()
    for model in (subject.model, exogenize(subject.model)):
        once, again, other = (sample(model, subject.units, seed) for seed in (1, 1, 2))
        yield Finding(_unlike(once, again), 0.0, "two samples of one seed differ")
    for name in once:
        if name.startswith("U_"):
            same = float(torch.equal(once[name], other[name]))
            yield Finding(same, 0.0, f"samples of two seeds have the same {name!r}")
    once, again = (_abducted(subject) for _ in range(2))
    yield Finding(_unlike(once, again), 0.0, "two abductions of one seed differ")
    if all(hasattr(subject.model, method) for method in TRAINABLE):
        yield Finding(_unlike(*(_trained(subject) for _ in range(2))), 0.0, "two trainings of one seed differ")
    after = _global_state()
    changed = [name for name in before if before[name] != after[name]]
    yield Finding(float(len(changed)), 0.0, f"the global state changes: {', '.join(changed)}")


def _abducted(subject: Subject) -> Any:
    return abduct(subject.model, subject.evidence, subject.method, subject.draws, seed=1)


def _trained(subject: Subject) -> dict[str, Tensor]:
    model: Any = copy.deepcopy(subject.model)
    with torch.enable_grad():
        fit(model, subject.data, steps=STEPS, adversarial_steps=STEPS, seed=1, progress=False)
    state: dict[str, Tensor] = model.state_dict()
    return state


def _global_state() -> dict[str, object]:
    generator: Any = np.random.get_state(legacy=False)["state"]
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "Python's random state": random.getstate(),
        "NumPy's random state": (generator["key"].tobytes(), generator["pos"]),
        "the default type": torch.get_default_dtype(),
        "Pyro's parameter store": sorted(pyro.get_param_store().keys()),
        "Pyro's handlers": len(pyro.poutine.runtime._PYRO_STACK),
        "whether gradients are taken": torch.is_grad_enabled(),
        "whether distributions validate": torch.distributions.Distribution._validate_args,
    }


def precision(subject: Subject) -> Findings:
    """Float32 and float64 agree to rounding on the noise of a value and the value of a noise, far into the tails."""
    single, double = subject.cast(torch.float32), subject.cast(torch.float64)
    if single is None or double is None:
        raise LeftOut("the model has no parameters of its own")
    values = {name: v.float() if v.is_floating_point() else v for name, v in subject.population.items()}
    wide = {name: v.double() if v.is_floating_point() else v for name, v in values.items()}
    narrow, wider = sites(single, values), sites(double, wide)
    for name, site in wider.items():
        if not site.discrete:
            spread = subject.spread(name)
            for what, gap in _disagreement(narrow[name], site, spread).items():
                yield Finding(gap, ROUNDING[torch.float32], f"{what} of {name!r} differs between float32 and float64")


def _disagreement(single: RecordedSite, double: RecordedSite, spread: Tensor) -> dict[str, float]:
    """The largest differences, in standard deviations of the variable or in its distance from its middle."""
    u = _far_out(double)
    x = double.mechanism.forward(u).float()
    kept = single.can_take(x) & double.can_take(x.double())  # at the ends of a bounded support rounding leaves it
    x = torch.where(kept.reshape(-1, *(1 for _ in x.shape[1:])), x, single.value)
    exact, rounded = double.mechanism.abduct(x.double()), single.mechanism.abduct(x)
    pairs = {
        "the noise": (double.mechanism.forward(rounded.double()), double.mechanism.forward(exact)),
        "the value": (single.mechanism.forward(exact.to(rounded.dtype)), double.mechanism.forward(exact)),
    }
    middle = double.value.median(0).values
    return {
        what: float(((one.double() - other).abs() / (spread + (other - middle).abs())).max())
        for what, (one, other) in pairs.items()
    }


def _far_out(site: RecordedSite) -> Tensor:
    """Noise further in the tails than is drawn."""
    law = site.mechanism.noise
    to_support = biject_to(law.support)
    far: Tensor = to_support(TAIL * to_support.inv(draw(law)))
    return far


def types(subject: Subject) -> Findings:
    """Values come back in the precision and on the device of the model, from data of NumPy's types.

    Variables that single precision cannot hold come back in double.
    """
    exact = subject.model.scales.variables if isinstance(subject.model, StructuralCausalModel) else ()
    data = {name: value.cpu().numpy().astype(np.float64) for name, value in subject.evidence.items()}
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for dtype in (torch.float32, torch.float64):
            model = subject.cast(dtype, device)
            if model is None:
                raise LeftOut("the model has no tensors of its own")
            where = f"in {str(dtype).removeprefix('torch.')} on {device}"
            noise = abduct(model, data, subject.method, subject.draws, seed=subject.seed)
            worlds = {"a sample": sample(model, 5, 0), "a world": counterfactual(plain(model), noise, {}, seed=0)}
            for what, values in worlds.items():
                for name, value in subject.evidence.items():
                    expected = dtype if value.is_floating_point() and name not in exact else value.dtype
                    got = values[name].dtype, values[name].device.type
                    failure = f"{name!r} comes as {got} in {what} of the model {where}"
                    yield Finding(float(got != (expected, device)), 0.0, failure)


def _unlike(one: Any, other: Any) -> float:
    """How many tensors of two mappings differ in any bit, or are in one alone."""
    unlike = set(one) ^ set(other)
    return float(len(unlike) + sum(not torch.equal(one[name], other[name]) for name in set(one) & set(other)))
