"""The parents of each site of a Pyro model, as far as one run of it shows them."""

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro.ops.provenance import detach_provenance, get_provenance, track_provenance
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_factor, site_is_subsample

from causal_pyro_models.errors import CausalError, ModelError
from causal_pyro_models.isolation import isolated
from causal_pyro_models.seeding import seeded


class _Parents(Messenger):
    """Marks the value at every site with the site's name, and reads the marks that reached each distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.parents: dict[str, frozenset[str]] = {}

    def _pyro_post_sample(self, msg: Any) -> None:
        name = msg["name"]
        if site_is_subsample(msg) or site_is_factor(msg):
            return
        if name in self.parents:
            raise ModelError(f"the model has two sites named {name!r}. Rename one of them.")
        value = detach_provenance(msg["value"])
        # a computed value carries the marks itself, an observed one only its density
        self.parents[name] = get_provenance([msg["value"], msg["fn"].log_prob(value)])
        msg["value"] = track_provenance(value, frozenset({name}))


@isolated
def site_parents(model: Callable[[], object]) -> dict[str, frozenset[str]]:
    """Site -> the sites that its distribution was computed from, in the order in which one run meets them."""
    if not callable(model):
        raise ModelError(f"expected a model (a function with Pyro primitives), got {type(model).__name__}.")
    store = pyro.get_param_store()
    with seeded(0), store.scope(store.get_state()), torch.no_grad(), pyro.validation_enabled(False), _Parents() as seen:
        try:
            model()
        except CausalError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model fails, run without arguments: {type(error).__name__}: {error!s:.240}. Bind arguments with "
                f"functools.partial(model, ...), and run it by itself to find out more."
            ) from error
    if not seen.parents:
        raise ModelError("the model has no sample or deterministic sites. Give it pyro.sample statements.")
    return seen.parents
