"""What the models are that benchmarks/models.py compares: this package's, and its peers', behind one small interface.

To add a model, write a class with ``fit``, ``counterfactual`` and ``log_density``, and name it in ``CONTENDERS``.
"""

import copy
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import pandas as pd
import torch
from scms import Simulator
from torch import Tensor

import causal_pyro_models as cpm
from causal_pyro_models.data import Continuous
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models import CausalFlow
from causal_pyro_models.models.nodes.additive import AdditiveNoiseModel
from causal_pyro_models.models.nodes.gan import CausalGAN
from causal_pyro_models.models.nodes.vae import CausalVAE

Values = Mapping[str, Tensor]
DRAWS = 20  # of the noise of models whose counterfactuals are distributions
STEPS = 2_000  # of the training of causalflows, whose documentation leaves the training to the user


class Contender(Protocol):
    """A model of a table with a known graph."""

    def fit(self, simulator: Simulator, train: Values, seed: int) -> None:
        """Train on ``(units,)`` of each variable, float64."""

    def counterfactual(self, units: Values, do: Mapping[str, float]) -> Values:
        """What these units would have been."""

    def log_density(self, units: Values) -> Tensor | None:
        """Log density of units; None where the model has none."""


class Ours:
    """A family of this package.

    Args:
        build: from graph and variables to a model.
        draws: of the posterior of the noise, whose mean is the counterfactual; None where that is one point.
    """

    def __init__(self, build: Callable[..., Any], draws: int | None = None) -> None:
        self.build, self.draws = build, draws

    def fit(self, simulator: Simulator, train: Values, seed: int) -> None:
        graph = CausalGraph(simulator.variables, simulator.edges)
        self.model = self.build(graph, {name: Continuous() for name in simulator.variables})
        cpm.fit(self.model, dict(train), seed=seed, progress=False)

    def counterfactual(self, units: Values, do: Mapping[str, float]) -> Values:
        given = {name: value.float() for name, value in units.items()}
        with warnings.catch_warnings(action="ignore"):  # of the small effective sample sizes of so few draws
            found = cpm.counterfactual(self.model, given, do=dict(do), seed=0, num_samples=self.draws)
        return {name: (found[name] if self.draws is None else found.mean(name)).double() for name in units}

    def log_density(self, units: Values) -> Tensor | None:
        if self.draws is not None:
            return None
        with torch.no_grad():
            found: Tensor = self.model.log_prob({name: value.float() for name, value in units.items()})
            return found.double()


class DoWhy:
    """dowhy.gcm with the mechanisms that it assigns by itself."""

    def fit(self, simulator: Simulator, train: Values, seed: int) -> None:
        import networkx as nx
        from dowhy import gcm

        gcm.config.disable_progress_bars()
        gcm.config.set_default_n_jobs(1)
        gcm.util.general.set_random_seed(seed)
        self.gcm = gcm
        graph = nx.DiGraph(simulator.edges)
        graph.add_nodes_from(simulator.variables)
        self.model = gcm.InvertibleStructuralCausalModel(graph)
        data = _frame(train)
        gcm.auto.assign_causal_mechanisms(self.model, data)
        gcm.fit(self.model, data)

    def counterfactual(self, units: Values, do: Mapping[str, float]) -> Values:
        actions = {name: (lambda natural, value=value: value) for name, value in do.items()}
        found = self.gcm.counterfactual_samples(self.model, actions, observed_data=_frame(units))
        return {name: torch.as_tensor(found[name].to_numpy()) for name in units}

    def log_density(self, units: Values) -> Tensor | None:
        return None


class CausalFlows:
    """A flow of the package causalflows, standardised, trained with Adam and the best weights on held-out units kept.

    Args:
        kind: the name of its class.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def fit(self, simulator: Simulator, train: Values, seed: int) -> None:
        from causalflows import flows

        torch.manual_seed(seed)
        self.names = list(train)
        units = torch.stack(list(train.values()), 1)
        self.mean, self.sd = units.mean(0), units.std(0)
        held_out, seen = self._scaled(train).split([len(units) // 10, len(units) - len(units) // 10])
        adjacency = torch.eye(len(self.names), dtype=torch.bool)
        for parent, child in simulator.edges:
            adjacency[self.names.index(child), self.names.index(parent)] = True
        self.flow = getattr(flows, self.kind)(len(self.names), adjacency=adjacency, hidden_features=(64, 64))
        optimiser = torch.optim.Adam(self.flow.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        best, weights = float("inf"), self.flow.state_dict()
        for step in range(STEPS):
            loss = -self.flow().log_prob(seen[torch.randint(len(seen), (256,))]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % 50 == 49:
                with torch.no_grad():
                    reached = -float(self.flow().log_prob(held_out).mean())
                if reached < best:
                    best, weights = reached, copy.deepcopy(self.flow.state_dict())
        self.flow.load_state_dict(weights)

    def _scaled(self, units: Values) -> Tensor:
        return ((torch.stack([units[name] for name in self.names], 1) - self.mean) / self.sd).float()

    @torch.no_grad()
    def counterfactual(self, units: Values, do: Mapping[str, float]) -> Values:
        flow, scaled = self.flow(), self._scaled(units)
        noise = flow.transform(scaled)
        with ExitStack() as actions:  # one inside the other: it takes one value at a time
            for name, value in do.items():
                index = self.names.index(name)
                value = float((value - self.mean[index]) / self.sd[index])
                actions.enter_context(flow.intervene(index, torch.full((len(scaled),), value)))
            found = flow.transform.inv(noise)
        return dict(zip(self.names, (found.double() * self.sd + self.mean).unbind(1), strict=True))

    @torch.no_grad()
    def log_density(self, units: Values) -> Tensor | None:
        found: Tensor = self.flow().log_prob(self._scaled(units))
        return found.double() - self.sd.log().sum()


def _frame(units: Values) -> pd.DataFrame:
    return pd.DataFrame({name: value.numpy() for name, value in units.items()})


FLOW, DOWHY, MAF, NSF = "CausalFlow", "dowhy.gcm, auto-assigned", "causalflows MAF", "causalflows NSF"
CONTENDERS: dict[str, Callable[[], Contender]] = {
    FLOW: lambda: Ours(CausalFlow),
    DOWHY: DoWhy,
    MAF: lambda: CausalFlows("CausalMAF"),
    NSF: lambda: CausalFlows("CausalNSF"),
    "AdditiveNoiseModel": lambda: Ours(AdditiveNoiseModel),
    "CausalVAE": lambda: Ours(CausalVAE, draws=DRAWS),
    "CausalGAN": lambda: Ours(CausalGAN, draws=DRAWS),
}
