"""Latent variables: standard normal, with an amortised posterior that starts in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Variable
from causal_pyro_models.models.networks.features import encoded
from causal_pyro_models.models.networks.functions import Network, ParentFunction, least_squares

LOG_SCALES = (-7.0, 3.0)  # of the posterior
SMALLEST = 1e-3  # scale of the posterior that training starts from
EM_STEPS = 500
LEAST_NOISE = 0.01  # share of a variable's variance that hidden causes leave it at the start
SHARE = 0.1  # of the variance that a latent explains at the start at least, and noise at least


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
        self.encoder = ParentFunction(inputs, 2 * dim, network=Network(hidden))

    def prior(self) -> TorchDistributionMixin:
        """The law of one unit."""
        like = next(self.parameters())
        zeros = torch.zeros(self.variable.event_shape, dtype=like.dtype, device=like.device)
        return dist.Normal(zeros, 1.0).to_event(zeros.dim())  # type: ignore[no-any-return]

    def posterior(self, inputs: Values) -> TorchDistributionMixin:
        """The approximate posterior given the inputs' values, batched like them."""
        location, log_scale = self.encoder(inputs).chunk(2, -1)
        if not self.variable.event_shape:
            location, log_scale = location.squeeze(-1), log_scale.squeeze(-1)
        scale = log_scale.clamp(*LOG_SCALES).exp()
        return dist.Normal(location, scale).to_event(len(self.variable.event_shape))  # type: ignore[no-any-return]

    def draw(self, inputs: Values, pointwise: bool = False) -> tuple[Tensor, Tensor]:
        """A reparameterised draw from the posterior, and the divergence of the posterior from the prior, per unit.

        Args:
            inputs: what the posterior is computed from.
            pointwise: whether to give the logarithm of their ratio at the draw, of which the divergence is the mean.
        """
        posterior, prior = self.posterior(inputs), self.prior()
        drawn = posterior.rsample()
        if pointwise:
            return drawn, posterior.log_prob(drawn) - prior.log_prob(drawn)
        divergence: Tensor = torch.distributions.kl_divergence(posterior, prior.expand(posterior.batch_shape))
        return drawn, divergence

    @torch.no_grad()
    def initialise(self, inputs: Values, start: Tensor) -> None:
        """Start afresh, as the linear posterior of values ``(units, *event)`` of the latent, by least squares."""
        target = start.reshape(len(start), -1)
        residual = self.encoder.initialise(inputs, target)
        self.encoder.bias[target.shape[-1] :] = residual.std(0).clamp_min(SMALLEST).log()


def standardised(kinds: Mapping[str, Variable], values: Values, like: Tensor) -> Tensor:
    """The features of some variables, each of mean zero and variance one (or zero), ``(units, columns)``."""
    return _standardised(encoded(kinds, values, like.dtype)) if kinds else like[:, :0]


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


def common_factors(members: Tensor, features: Sequence[Tensor], dim: int, answering: Tensor | None = None) -> Tensor:
    """Draws ``(units, dim)`` from the posterior of the hidden causes of some variables, all of it linear and Gaussian.

    Expectation maximisation on the second moments: a linear structural equation for each variable, in which the hidden
    causes are regressors. So what instruments, mediators or interventions say of the hidden causes is used.

    Args:
        members: the caused variables, standardised, ``(units, k)``.
        features: their observed causes, standardised, ``(units, p)`` for each.
        dim: number of hidden causes; those beyond ``k - 1`` are noise alone.
        answering: ``(units, k)``, false where the variable was set from outside; None where none ever was.

    References:
        D. Rubin, D. Thayer (1982). EM algorithms for ML factor analysis. Psychometrika.
    """
    units, k = members.shape
    factors = min(dim, k - 1)
    data = torch.cat([members, *features], 1).double()
    rows = torch.ones_like(members, dtype=torch.bool) if answering is None else answering
    patterns, regime = rows.unique(dim=0, return_inverse=True)
    parts = [data[regime == r] for r in range(len(patterns))]
    model = _Equations(
        [part.T @ part / units for part in parts], [len(part) / units for part in parts], patterns, features, factors
    )
    model.start([residuals(members[:, [i]], part).masked_fill(~rows[:, [i]], 0.0) for i, part in enumerate(features)])
    for _ in range(EM_STEPS):
        model.improve()
    draws = torch.randn(units, dim, dtype=data.dtype, device=data.device)
    for r, part in enumerate(parts):
        reading, spread = model.posterior(r)
        noise = draws[regime == r][:, :factors] @ torch.linalg.cholesky(spread).T
        draws[regime == r, :factors] = part @ reading.T + noise
    return draws.to(members)


class _Equations:
    """Linear equations with hidden causes among the regressors, and the second moments that they are fitted to.

    Args:
        moments: of the variables and their observed causes, of each regime, weighted by its share.
        shares: of the units, of each regime.
        patterns: ``(regimes, k)``, the variables that answer to their causes.
        features: the observed causes.
        factors: number of hidden causes.
    """

    def __init__(
        self,
        moments: list[Tensor],
        shares: list[float],
        patterns: Tensor,
        features: Sequence[Tensor],
        factors: int,
    ) -> None:
        self.moments, self.shares, self.patterns, self.factors = moments, shares, patterns, factors
        k = len(features)
        self.observed = torch.arange(k, moments[0].shape[0]).split([part.shape[1] for part in features])

    def start(self, left: list[Tensor]) -> None:
        """Begin with what least squares leaves of each variable, and the factors of that."""
        columns = torch.cat(left, 1).double()
        shared = (columns.T @ columns / len(columns)).fill_diagonal_(0.0)
        variances, directions = torch.linalg.eigh(shared + torch.diag(shared.abs().amax(-1)))
        self.loading = directions[:, -self.factors :] * variances[-self.factors :].clamp_min(0.0).sqrt()
        self.noise = (1.0 - self.loading.square().sum(-1)).clamp_min(0.05)
        total = torch.stack(self.moments).sum(0)
        self.slopes = [
            torch.linalg.lstsq(total[p][:, p], total[p, i], driver="gelsd").solution
            for i, p in enumerate(self.observed)
        ]

    def posterior(self, r: int) -> tuple[Tensor, Tensor]:
        """The mean of the hidden causes in a regime, as a function of the data, and their covariance."""
        like = self.moments[r]
        loading = self.loading * self.patterns[r].to(like).unsqueeze(-1)
        precise = (loading / self.noise.unsqueeze(-1)).T
        spread = torch.linalg.inv(torch.eye(self.factors).to(like) + precise @ loading)
        residual = torch.zeros(len(self.observed), len(like)).to(like)
        for i, p in enumerate(self.observed):
            residual[i, i] = 1.0
            residual[i, p] -= self.slopes[i]
        return spread @ precise @ residual, spread

    def improve(self) -> None:
        """One step of expectation maximisation."""
        expected = []
        for r, moments in enumerate(self.moments):
            reading, spread = self.posterior(r)
            cross = reading @ moments
            expected.append((moments, cross, cross @ reading.T + self.shares[r] * spread))
        for i, p in enumerate(self.observed):
            told = [r for r in range(len(expected)) if bool(self.patterns[r, i])]
            if not told:  # set in every unit: nothing to learn
                continue
            moments, cross, own = (
                torch.stack(parts).sum(0) for parts in zip(*(expected[r] for r in told), strict=True)
            )
            gram = torch.cat([torch.cat([moments[p][:, p], cross[:, p].T], 1), torch.cat([cross[:, p], own], 1)])
            target = torch.cat([moments[p, i], cross[:, i]])
            solved = torch.linalg.lstsq(gram, target, rcond=1e-8, driver="gelsd").solution
            self.slopes[i], self.loading[i] = solved[: len(p)], solved[len(p) :]
            left = (moments[i, i] - solved @ target) / sum(self.shares[r] for r in told)
            self.noise[i] = left.clamp_min(LEAST_NOISE)
