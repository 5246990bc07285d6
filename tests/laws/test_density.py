"""Law 7: ``exogenize`` leaves the joint log density unchanged, and the result is a Pyro model like any other."""

from contextlib import contextmanager

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoNormal

from causal_pyro_models import exogenize
from causal_pyro_models.scm.sites import noise_name
from tests.laws.strategies import BIJECTIVE, BOUNDED, DISCRETE, populations


def log_volume(x, u, event_dim):
    """Log absolute determinant of the derivative of the value of a site in its noise, by autograd, for each event.

    On a simplex the last part follows from the others, and is left out.
    """
    if event_dim == 0:
        (slope,) = torch.autograd.grad(x.sum(), u, retain_graph=True)
        return slope.abs().log()
    size = u.shape[-1]
    rows = [torch.autograd.grad(x[..., i].sum(), u, retain_graph=True)[0] for i in range(size)]
    return torch.linalg.slogdet(torch.stack(rows, -2)).logabsdet


def assert_density_unchanged(model, latents):
    """The log density of each site, as written and with its noise explicit, at values computed from drawn noise.

    Args:
        model: a model whose other sites are observed.
        latents: its latent sites, continuous and with bijective mechanisms.
    """
    program = exogenize(model)
    noise = {}
    for name, site in poutine.trace(program).get_trace().nodes.items():
        if name in map(noise_name, latents) or (site["type"] == "sample" and hasattr(site["fn"], "subsample_size")):
            floating = site["value"].is_floating_point()
            noise[name] = site["value"].detach().requires_grad_() if floating else site["value"]
    explicit = poutine.trace(poutine.condition(program, data=noise)).get_trace()
    values = {name: explicit.nodes[name]["value"] for name in latents}
    indices = {name: value for name, value in noise.items() if not value.is_floating_point()}
    written = poutine.trace(poutine.condition(model, data={**values, **indices})).get_trace()
    explicit.compute_log_prob()
    written.compute_log_prob()
    for name, site in written.nodes.items():
        if site["type"] != "sample" or hasattr(site["fn"], "subsample_size"):
            continue
        found = explicit.nodes[name]["log_prob"]
        if name in latents:
            assert bool((found == 0).all()), (model, name, found)
            source = explicit.nodes[noise_name(name)]
            volume = log_volume(values[name], source["value"], site["fn"].event_dim)
            found = source["log_prob"] - _weight(site) * volume
        torch.testing.assert_close(
            found, site["log_prob"], rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{model} {n}: {m}"
        )


def _weight(site):
    mask = True if site["mask"] is None else site["mask"]
    return site["scale"] * torch.as_tensor(mask & getattr(site["fn"], "_mask", torch.tensor(True))).double()


@contextmanager
def float64():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@float64()
@settings(max_examples=10)
@given(populations(10, families=[*BIJECTIVE, *DISCRETE], max_variables=8), st.sampled_from([0, 1, 2]))
def test_density_of_random_models(models, plates):
    """Latent sites by the change of variables, observed ones (all discrete ones and some others) as they are."""
    for model in [model.with_plates(plates) for model in models]:
        drawn = model.draw(1, model.seed)
        latents = [
            v.name
            for i, v in enumerate(model.random)
            if v.family in BOUNDED or (v.family in BIJECTIVE and (model.seed + i) % 3)
        ]
        data = {v.name: _in_place(model, v, drawn[v.name]) for v in model.random if v.name not in latents}
        assert_density_unchanged(poutine.condition(model, data=data), latents)


def _in_place(model, variable, value):
    """Evidence in the shape of its site: for a model of one unit without a plate, or a dimension for each plate."""
    if not model.sizes:
        return value[0]
    if not variable.places:
        return value
    sizes = [model.sizes[i] if i in variable.places else 1 for i in reversed(range(max(variable.places) + 1))]
    return value.reshape(*sizes, *value.shape[len(variable.places) :])


def masked():
    with pyro.plate("units", 4, dim=-1), poutine.mask(mask=torch.tensor([True, False, True, True])):
        x = pyro.sample("X", dist.Gamma(torch.full((4,), 2.0), 1.0))
        pyro.sample("Y", dist.Normal(x, 1.0), obs=torch.arange(4.0))


def masked_distribution():
    with pyro.plate("units", 2):
        x = pyro.sample("X", dist.Weibull(torch.tensor([1.0, 2.0]), 2.0).mask(torch.tensor([True, False])))
    pyro.sample("Y", dist.Poisson(x.sum()), obs=torch.tensor(3.0))


def scaled():
    with poutine.scale(scale=0.3):
        x = pyro.sample("X", dist.LogNormal(0.0, 2.0))
    pyro.sample("Y", dist.Normal(x, 1.0), obs=torch.tensor(1.0))


def nested():
    outer, inner = pyro.plate("outer", 3, dim=-2), pyro.plate("inner", 2, dim=-1)
    with outer:
        a = pyro.sample("A", dist.Normal(torch.zeros(2), 3.0).to_event(1))
        with inner:
            b = pyro.sample("B", dist.MultivariateNormal(a, scale_tril=torch.tensor([[1.0, 0.0], [0.5, 2.0]])))
            pyro.sample("C", dist.Laplace(b.sum(-1), 2.0), obs=torch.ones(3, 2))


def subsampled():
    m = pyro.sample("M", dist.Normal(0.0, 2.0))
    with pyro.plate("units", 10, subsample_size=4) as index:
        x = pyro.sample("X", dist.Gumbel(m, 1.0 + index.float()))
        pyro.sample("Y", dist.Normal(x, 1.0), obs=torch.arange(10.0)[index])


def sequential():
    x = torch.tensor(0.0)
    for i in pyro.plate("steps", 3):
        x = pyro.sample(f"X{i}", dist.Logistic(x, 2.0))
    pyro.sample("Y", dist.Bernoulli(logits=x), obs=torch.tensor(1.0))


def recurrent():
    x = torch.tensor(1.0)
    for i in pyro.markov(range(3)):
        x = pyro.sample(f"X{i}", dist.HalfNormal(x + 0.5))
    pyro.factor("bonus", -x)


@pytest.mark.parametrize(
    ("model", "latents"),
    [
        (masked, ["X"]),
        (masked_distribution, ["X"]),
        (scaled, ["X"]),
        (nested, ["A", "B"]),
        (subsampled, ["M", "X"]),
        (sequential, ["X0", "X1", "X2"]),
        (recurrent, ["X0", "X1", "X2"]),
    ],
)
def test_density_under_handlers_and_plates(model, latents):
    with float64():
        assert_density_unchanged(model, latents)


def test_observed_sites_keep_their_likelihood_and_get_their_noise():
    """The trap of TransformReparam and LocScaleReparam, which drop the Jacobian at observed sites."""

    def model():
        s = pyro.sample("S", dist.LogNormal(0.0, 1.0))
        pyro.sample("X", dist.LogNormal(0.0, s), obs=torch.tensor(2.0))

    trace = poutine.trace(exogenize(model)).get_trace()
    s = trace.nodes["S"]["value"]
    trace.compute_log_prob()
    expected = dist.LogNormal(0.0, s).log_prob(torch.tensor(2.0))
    torch.testing.assert_close(trace.nodes["X"]["log_prob"], expected)
    torch.testing.assert_close(trace.nodes["U_X"]["value"], torch.tensor(2.0).log() / s)
    torch.testing.assert_close(trace.log_prob_sum(), expected + dist.Normal(0.0, 1.0).log_prob(s.log()))


def conjugate():
    """Posterior of Z: Normal(0.8, 2 / sqrt(5))."""
    z = pyro.sample("Z", dist.Normal(0.0, 2.0))
    pyro.sample("X", dist.Normal(z, 1.0), obs=torch.tensor(1.0))


def test_variational_inference_of_an_exogenized_model():
    model = exogenize(conjugate)
    guide = AutoNormal(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO(num_particles=10, vectorize_particles=True))
    for _ in range(400):
        svi.step()
    assert [name for name in guide() if not name.startswith("_")] == ["U_Z"]
    u = guide.quantiles([0.5])["U_Z"][0]
    assert abs(2.0 * u.item() - 0.8) < 0.1  # the step size leaves about 0.02
    pyro.clear_param_store()


def test_nuts_on_an_exogenized_model():
    mcmc = MCMC(NUTS(exogenize(conjugate)), num_samples=400, warmup_steps=100, disable_progbar=True)
    mcmc.run()
    z = 2.0 * mcmc.get_samples()["U_Z"]
    standard_error = 0.894 / 10  # of 100 effective draws of 400
    assert abs(z.mean() - 0.8) < 4 * standard_error
    assert abs(z.std() - 0.894) < 4 * standard_error


def test_predictive_of_an_exogenized_model():
    drawn = Predictive(exogenize(conjugate), num_samples=50)()
    torch.testing.assert_close(drawn["Z"], 2.0 * drawn["U_Z"])
    given_noise = Predictive(exogenize(conjugate), posterior_samples={"U_Z": torch.tensor([1.0, -2.0])})()
    torch.testing.assert_close(given_noise["Z"], torch.tensor([2.0, -4.0]))
