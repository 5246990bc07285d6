"""Latent variables: standard normal, with an amortised posterior that starts in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from causal_pyro_models.models.conditioner import Conditioner
from causal_pyro_models.models.regression import least_squares
from causal_pyro_models.models.variables import Continuous, Variable

LOG_SCALES = (-7.0, 3.0)  # of the posterior
SMALLEST = 1e-3  # scale of the posterior that training starts from
EM_STEPS = 500
LEAST_NOISE = 0.01  # share of a variable's variance that hidden causes leave it at the start
SHARE = 0.1  # of the variance that a latent explains at the start at least, and noise at least

Values = Mapping[str, Tensor]


class Latent(nn.Module):
    """A standard normal variable that is not observed, and the network that reads it off what is.

    Args:
        dim: its dimensions.
        inputs: the variables that its posterior is computed from, by name.
        hidden: widths of the network's hidden layers.
    """

    def __init__(self, dim: int, inputs: Mapping[str, Variable], hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.variable = Continuous(dim)
        self.encoder = Conditioner(inputs, 2 * dim, hidden)

    weighed = False  # whether draws are importance-weighted, see ``weighing``

    def prior(self) -> TorchDistributionMixin:
        """The law of one unit."""
        like = next(self.parameters())
        zeros = torch.zeros(self.variable.event_shape, dtype=like.dtype, device=like.device)
        return dist.Normal(zeros, 1.0).to_event(zeros.dim())  # type: ignore[no-any-return]

    def posterior(self, inputs: Values) -> TorchDistributionMixin:
        """The approximate posterior given the inputs' values, batched like them."""
        linear, change = self.encoder(inputs)
        location, log_scale = (linear + change).chunk(2, -1)
        if not self.variable.event_shape:
            location, log_scale = location.squeeze(-1), log_scale.squeeze(-1)
        scale = log_scale.clamp(*LOG_SCALES).exp()
        return dist.Normal(location, scale).to_event(len(self.variable.event_shape))  # type: ignore[no-any-return]

    def draw(self, inputs: Values) -> tuple[Tensor, Tensor]:
        """A reparameterised draw from the posterior, and the divergence of the posterior from the prior, per unit.

        Under :func:`weighing` it is the logarithm of their ratio at the draw, of which the divergence is the mean.
        """
        posterior, prior = self.posterior(inputs), self.prior()
        drawn = posterior.rsample()
        if self.weighed:
            return drawn, posterior.log_prob(drawn) - prior.log_prob(drawn)
        divergence: Tensor = torch.distributions.kl_divergence(posterior, prior.expand(posterior.batch_shape))
        return drawn, divergence

    @torch.no_grad()
    def initialise(self, inputs: Values, start: Tensor) -> None:
        """Start afresh, as the linear posterior of values ``(units, *event)`` of the latent, by least squares."""
        target = start.reshape(len(start), -1)
        dim = target.shape[-1]
        self.encoder.initialise(inputs)
        features = self.encoder.features(inputs)
        slope = least_squares(features, target)
        self.encoder.slope[:dim] = slope.T
        self.encoder.bias[dim:] = (target - features @ slope).std(0).clamp_min(SMALLEST).log()


@contextmanager
def weighing(model: nn.Module) -> Iterator[None]:
    """Let the losses of a model's nodes be minus the log importance weights of their draws of the latents."""
    latents = [part for part in model.modules() if isinstance(part, Latent)]
    for latent in latents:
        latent.weighed = True
    try:
        yield
    finally:
        for latent in latents:
            latent.weighed = False


def standardised(kinds: Mapping[str, Variable], values: Values, like: Tensor) -> Tensor:
    """The features of some variables, each of mean zero and variance one (or zero), ``(units, columns)``."""
    if not kinds:
        return like[:, :0]
    encoded = [kind.features(name, values[name]).to(like.dtype) for name, kind in kinds.items()]
    return _standardised(torch.cat(encoded, -1))


def _standardised(columns: Tensor) -> Tensor:
    centred = columns - columns.mean(0)
    scale = centred.std(0)
    constant = scale <= 1e-6 * columns.abs().amax(0)
    return torch.where(constant, 0.0, centred / scale.masked_fill(constant, 1.0))


def residuals(columns: Tensor, features: Tensor) -> Tensor:
    """What a linear function of features leaves unexplained of columns ``(units, k)``, of variance one where any."""
    columns = columns - columns.mean(0)
    left = columns - features @ least_squares(features, columns)
    return _standardised(torch.where(left.std(0) <= 1e-4 * columns.std(0), 0.0, left))


def principal_directions(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Variances ``(r,)``, largest first, and directions ``(k, r)`` of the principal components of columns of rank r."""
    variances, directions = torch.linalg.eigh(columns.double().T.cov().reshape(columns.shape[-1], -1))
    found = [i for i in reversed(range(len(variances))) if variances[i] > 1e-6 * variances[-1]]
    return variances[found].to(columns), directions[:, found].to(columns)


def principal_components(columns: Tensor, dim: int) -> Tensor:
    """Standard normal draws ``(units, dim)`` of the factors behind columns ``(units, k)`` and isotropic noise.

    Where there are as many factors as columns, which leaves nothing to tell the noise by, factors explain little; those
    beyond the rank of the columns are noise alone.

    References:
        M. Tipping, C. Bishop (1999). Probabilistic principal component analysis. JRSS B.
    """
    variances, directions = principal_directions(columns)
    factors = min(dim, len(variances))
    left = variances[factors:]
    share = 1.0 - left.sum() / max(1, columns.shape[-1] - factors) / variances[:factors] if len(left) else SHARE
    share = torch.as_tensor(share).clamp(SHARE, 1.0 - SHARE)
    draws = torch.randn(len(columns), dim, dtype=columns.dtype, device=columns.device)
    scores = columns @ directions[:, :factors] / variances[:factors].sqrt()
    draws[:, :factors] = share.sqrt() * scores + (1.0 - share).sqrt() * draws[:, :factors]
    return draws


def common_factors(members: Tensor, features: Sequence[Tensor], dim: int) -> Tensor:
    """Draws ``(units, dim)`` from the posterior of the hidden causes of some variables, all of it linear and Gaussian.

    Expectation maximisation on the second moments: a linear structural equation for each variable, in which the hidden
    causes are regressors. So what instruments or mediators say of the hidden causes is used.

    Args:
        members: the caused variables, standardised, ``(units, k)``.
        features: their observed causes, standardised, ``(units, p)`` for each.
        dim: number of hidden causes; those beyond ``k - 1`` are noise alone.

    References:
        D. Rubin, D. Thayer (1982). EM algorithms for ML factor analysis. Psychometrika.
    """
    units, k = members.shape
    factors = min(dim, k - 1)
    data = torch.cat([members, *features], 1).double()
    moments = data.T @ data / units
    observed = torch.arange(k, data.shape[1]).split([part.shape[1] for part in features])
    left = torch.cat([residuals(members[:, [i]], part) for i, part in enumerate(features)], 1).double()
    shared = (left.T @ left / units).fill_diagonal_(0.0)
    variances, directions = torch.linalg.eigh(shared + torch.diag(shared.abs().amax(-1)))
    loading = directions[:, -factors:] * variances[-factors:].clamp_min(0.0).sqrt()
    slopes = [
        torch.linalg.lstsq(moments[p][:, p], moments[p, i], driver="gelsd").solution for i, p in enumerate(observed)
    ]
    noise = (1.0 - loading.square().sum(-1)).clamp_min(0.05)
    for _ in range(EM_STEPS):
        spread = torch.linalg.inv(torch.eye(factors).to(moments) + (loading / noise.unsqueeze(-1)).T @ loading)
        reading = torch.zeros(k, data.shape[1]).to(moments)  # residuals of the equations, as functions of the data
        for i, p in enumerate(observed):
            reading[i, i] = 1.0
            reading[i, p] -= slopes[i]
        reading = spread @ (loading / noise.unsqueeze(-1)).T @ reading  # posterior mean of the hidden causes
        cross, own = reading @ moments, reading @ moments @ reading.T + spread
        for i, p in enumerate(observed):
            gram = torch.cat([torch.cat([moments[p][:, p], cross[:, p].T], 1), torch.cat([cross[:, p], own], 1)])
            target = torch.cat([moments[p, i], cross[:, i]])
            solved = torch.linalg.lstsq(gram, target, rcond=1e-8, driver="gelsd").solution
            slopes[i], loading[i] = solved[: len(p)], solved[len(p) :]
            noise[i] = (moments[i, i] - solved @ target).clamp_min(LEAST_NOISE)
    draws = torch.randn(units, dim).to(moments)
    draws[:, :factors] = data @ reading.T + draws[:, :factors] @ torch.linalg.cholesky(spread).T
    return draws.to(members)
