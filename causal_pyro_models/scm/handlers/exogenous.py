"""The same program with its noise made explicit: ``X ~ p(x | pa)`` becomes ``U_X ~ p(u)``, ``X = f(pa, U_X)``."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import pyro
import torch
from pyro.poutine.messenger import Messenger

from causal_pyro_models.errors import EvidenceError, MechanismError, ModelError
from causal_pyro_models.scm.density import check_possible
from causal_pyro_models.scm.mechanisms.registry import Mechanism, mechanism
from causal_pyro_models.scm.sites import Handled, Model, delta, is_auxiliary, is_deterministic, noise_name, role
from causal_pyro_models.seeding import seeded

NOISE: Any = {"role": "exogenous"}


def site_mechanism(site: Any) -> Mechanism:
    """The mechanism of a site: that of its ``infer={"mechanism": ...}``, or the registered one."""
    constructor: Callable[[Any], Mechanism] = site["infer"].get("mechanism", mechanism)
    if not callable(constructor):
        raise MechanismError(
            f"site {site['name']!r} has infer={{'mechanism': {constructor!r:.80}}}, expected a function from a "
            f"distribution to its mechanism, such as quantile."
        )
    with _at_site(site["name"]):
        law = constructor(site["fn"])
    if not isinstance(law, Mechanism):
        raise MechanismError(
            f"the mechanism of site {site['name']!r} came to {type(law).__name__}, expected a Mechanism: try it with "
            f"check_mechanism."
        )
    return law


def has_mechanism(site: Any) -> bool:
    """Whether the distribution of a site has a mechanism; what is wrong with one that is given, its use says."""
    try:
        site["infer"].get("mechanism", mechanism)(site["fn"])
    except MechanismError:
        return False
    except Exception:
        return True
    return True


@contextmanager
def _at_site(name: str) -> Iterator[None]:
    """Errors of a mechanism, with the name of the site, which it does not know."""
    try:
        yield
    except (EvidenceError, MechanismError) as error:
        raise type(error)(f"site {name!r}: {error}") from error


class Exogenize(Messenger):
    """Handler behind :func:`exogenize`.

    Args:
        keep: sites left as they are written (population-level parameters).
        observed_noise: whether observed sites get their abducted noise recorded.
        seed: of the random numbers by which sites without a mechanism are drawn from their law, the same in every run;
            None where these are refused.
    """

    def __init__(self, keep: Collection[str] = (), observed_noise: bool = True, seed: int | None = None) -> None:
        super().__init__()
        self.seed = seed
        self.keep = keep
        self.observed_noise = observed_noise
        self._forwarded: dict[str, torch.Tensor] = {}
        self._is_noise: dict[str, bool] = {}

    def __enter__(self) -> "Exogenize":
        self._is_noise = {}
        return super().__enter__()

    def _claim(self, name: str, noise: bool) -> None:
        if self._is_noise.setdefault(name, noise) is not noise:
            raise ModelError(f"site {name!r} of the model has the name of the noise of {name[2:]!r}: rename it.")

    def _pyro_sample(self, msg: Any) -> None:
        if role(msg) != "exogenous":
            self._claim(msg["name"], noise=False)
        name = msg["infer"].get("natural_of", msg["name"])
        done = role(msg) not in (None, "natural")
        if done or is_auxiliary(msg) or is_deterministic(msg) or name in self.keep:
            return
        if msg["is_observed"]:
            if self.observed_noise:
                self._record(name, msg)
            return
        if self.seed is not None and not has_mechanism(msg):
            with seeded((self.seed + crc32(name.encode())) % 2**32):
                x = msg["fn"]()
        else:
            law = site_mechanism(msg)
            self._claim(noise_name(name), noise=True)
            x = law.forward(pyro.sample(noise_name(name), law.noise, infer=NOISE))
        self._forwarded[msg["name"]] = x
        infer = {**msg["infer"], "role": role(msg) or "endogenous", "_deterministic": True}
        msg.update(fn=delta(x, msg["fn"].event_dim), value=x, is_observed=True, infer=infer)

    def _record(self, name: str, msg: Any) -> None:
        """An observed site keeps its likelihood; its noise, an exact posterior draw, is recorded beside it."""
        law, fn = site_mechanism(msg), msg["fn"]
        self._claim(noise_name(name), noise=True)
        shape = torch.broadcast_shapes(msg["value"].shape, fn.batch_shape + fn.event_shape)
        value = msg["value"].expand(shape)
        with _at_site(name):
            try:
                u = law.abduct(value)
            except EvidenceError:
                check_possible(name, fn, value)  # which says more
                raise
        infer: Any = {**NOISE, "bijective": law.bijective, "_deterministic": True}
        pyro.sample(noise_name(name), delta(u, law.noise.event_dim), obs=u, infer=infer)

    def _pyro_post_sample(self, msg: Any) -> None:
        mine = self._forwarded.pop(msg["name"], None)
        if mine is not None and role(msg) == "endogenous" and msg["value"] is not mine:
            raise EvidenceError(
                f"site {msg['name']!r} was conditioned after its noise was made explicit, which would leave the noise "
                f"at odds with the value. Condition first: exogenize(condition(model, data))."
            )


def exogenize(model: Model) -> Handled:
    """The same program with its noise explicit: each site ``X`` is drawn as ``U_X``, then computed from it.

    The joint density is unchanged: a latent site's density moves to its noise site, an observed site keeps its own
    likelihood and gets its noise recorded (an exact draw from the posterior of the noise given its value).
    The result works with ``poutine``, SVI, NUTS and ``Predictive`` like any Pyro model.
    Conditioning comes first: ``exogenize(condition(model, data))``.

    Args:
        model: a callable with Pyro primitives; plates, masks, ``to_event`` and subsampling are kept.

    Raises:
        MechanismError: when run, at a site whose distribution has no registered mechanism.
        EvidenceError: when run, at a site that was conditioned from outside.

    References:
        Pearl (2009), Causality, definition 7.1.1; the noise as the reparameterised coordinate follows Gorinova, Moore
        and Hoffman (2020), Automatic Reparameterisation of Probabilistic Programs.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from pyro import poutine
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(1.0, 2.0))
        ...     pyro.sample("Y", dist.Bernoulli(logits=x))
        >>> trace = poutine.trace(exogenize(model)).get_trace()
        >>> [name for name in trace.nodes if trace.nodes[name]["type"] == "sample"]
        ['U_X', 'X', 'U_Y', 'Y']
        >>> bool(trace.nodes["X"]["value"] == 1.0 + 2.0 * trace.nodes["U_X"]["value"])
        True
    """
    return Handled(model, Exogenize)
