"""Answers with a graph of torch's, where that is asked for: derivatives along the draws, or a refusal by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from pyro.poutine.messenger import Messenger

from causal_pyro_models.errors import AbductionError, MechanismError, QueryError
from causal_pyro_models.scm.handlers.exogenous import site_mechanism
from causal_pyro_models.scm.sites import is_auxiliary, is_deterministic, role

_ASKED: ContextVar[bool] = ContextVar("asked", default=False)


@contextmanager
def graph(grad: bool) -> Iterator[None]:
    """Compute with a graph, or without where ``grad`` is False.

    Raises:
        QueryError: grad is no truth value; or the call is inside ``torch.func.vmap``, with or without a gradient.
    """
    if not isinstance(grad, bool):
        raise QueryError(f"grad must be True or False, got {grad!r:.80}.")
    if _in_vmap():
        raise QueryError(
            "verbs look at the values that they are given, which torch.func.vmap does not let them: ask dose_response "
            "of the grid, or call the verb for one value after the other. torch.func.grad and jacrev do work."
        )
    token = _ASKED.set(grad)
    try:
        with torch.set_grad_enabled(grad):
            yield
    finally:
        _ASKED.reset(token)


def _in_vmap() -> bool:
    found = torch._C._functorch.peek_interpreter_stack()
    return found is not None and found.key() == torch._C._functorch.TransformType.Vmap


def pathwise(run: Callable[[], Any]) -> Callable[[], Any]:
    """A run in which sites that a gradient cannot go through are refused, where one is asked for."""
    if not _ASKED.get():
        return run

    def checked() -> Any:
        with _Pathwise():
            return run()

    return checked


def check_determined(hidden: Iterable[str]) -> None:
    """Refuse a gradient through draws of hidden noise: how their posterior changes is not in them.

    Raises:
        AbductionError: there is hidden noise that the evidence bears on, and a gradient is asked for.
    """
    if _ASKED.get() and (names := list(hidden)):
        raise AbductionError(
            f"the evidence bears on {names}, which are not observed, and draws of a posterior do not say how it "
            f"changes: there is no gradient (grad=True) here. Observe them, or take finite differences under one seed."
        )


def check_graph(values: Iterable[torch.Tensor]) -> None:
    """Refuse answers that no gradient comes from, where one is asked for.

    Raises:
        QueryError: none of the values has a graph.
    """
    if _ASKED.get() and not any(value.requires_grad for value in values):
        raise QueryError(
            "grad=True, and the answer has no gradient: nothing that it is computed from has requires_grad=True, or it "
            "is a comparison, such as an event, which jumps. Ask about a differentiable outcome, of a model, evidence "
            "or intervention that requires a gradient."
        )


class _Pathwise(Messenger):
    """Refuses sites that jump, with probabilities that depend on what requires a gradient.

    It is entered inside of the handlers of a world, so that it sees the law that a site has as written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.laws: dict[str, Any] = {}

    def _pyro_sample(self, msg: Any) -> None:
        if not (is_auxiliary(msg) or is_deterministic(msg) or role(msg) == "exogenous"):
            self.laws[msg["name"]] = {"name": msg["name"], "fn": msg["fn"], "infer": dict(msg["infer"])}

    def _pyro_post_sample(self, msg: Any) -> None:
        site = self.laws.pop(msg["name"], None)
        if site is None or role(msg) == "intervened":
            return
        law = site["fn"]
        if law.log_prob(msg["value"].detach()).requires_grad and not _is_smooth(site, drawn=role(msg) is None):
            raise QueryError(
                f"the gradient that is asked for (grad=True) goes through site {site['name']!r}, which jumps: along "
                f"the draws of a {_family(law)} it leaves out how their probabilities change. Take finite differences "
                f"under one seed; or, where its probabilities are not what you ask about, let nothing that they depend "
                f"on require a gradient (module.requires_grad_(False))."
            )


def _is_smooth(site: Any, drawn: bool) -> bool:
    """Whether values move with the parameters of their law: drawn from it as it is, or computed from their noise."""
    if not drawn:
        try:
            return site_mechanism(site).bijective
        except MechanismError:  # of a site that is drawn in worlds, too
            pass
    return bool(site["fn"].has_rsample)


def _family(law: Any) -> str:
    while hasattr(law, "base_dist"):
        law = law.base_dist
    return type(law).__name__
