"""Eight Pyro programs in the style of Pyro's tutorials, as their authors would write them, not bent to the verbs.

Each is a causal model: a treatment that can be set, an outcome, and something that is not observed.
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule, PyroSample
from torch import Tensor, nn

Normal = dist.Normal

PEOPLE, HOSPITALS, PATIENTS, POINTS, STEPS, IMAGES, TIMES = 12, 3, 3, 7, 5, 5, 6


class Regression(PyroModule):
    """A linear layer whose weight and bias are sampled; the treatment X is confounded by Z."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = PyroModule[nn.Linear](2, 1)
        self.linear.weight = PyroSample(Normal(0.0, 1.0).expand([1, 2]).to_event(2))
        self.linear.bias = PyroSample(Normal(0.0, 2.0).expand([1]).to_event(1))

    def forward(self) -> Tensor:
        sigma = pyro.sample("sigma", dist.Uniform(0.0, 3.0))
        people = pyro.plate("people", PEOPLE)
        with people:
            z = pyro.sample("Z", Normal(0.0, 1.0))
            x = pyro.sample("X", dist.Bernoulli(logits=z))
        mean = self.linear(torch.stack([x, z], -1)).squeeze(-1)
        with people:
            return pyro.sample("Y", Normal(mean, sigma))


def hierarchical() -> None:
    """Patients in hospitals, in nested plates: the level A of a hospital bears on the dose X and on the outcome Y."""
    mu = pyro.sample("mu", Normal(0.0, 1.0))
    tau = pyro.sample("tau", dist.HalfNormal(1.0))
    slope = pyro.sample("slope", Normal(0.0, 1.0))
    with pyro.plate("hospitals", HOSPITALS, dim=-2):
        level = pyro.sample("A", Normal(mu, tau))
        with pyro.plate("patients", PATIENTS, dim=-1):
            dose = pyro.sample("X", Normal(level, 1.0))
            pyro.sample("Y", Normal(level + slope * dose, 0.5))


MEASURED = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])  # Rubin (1981), table 1
ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools() -> None:
    """Rubin's eight schools: effects theta about mu with spread tau, each measured with its own error."""
    mu = pyro.sample("mu", Normal(0.0, 10.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("schools", 8):
        theta = pyro.sample("theta", Normal(mu, tau))
        pyro.sample("Y", Normal(theta, ERRORS))


CENTRES = torch.tensor([-1.5, 1.5])


def mixture() -> None:
    """A mixture of two normal components, whose locations are indexed by the component of each point."""
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("components", 2):
        locs = pyro.sample("locs", Normal(CENTRES, 1.0))
    with pyro.plate("points", POINTS):
        k = pyro.sample("K", dist.Categorical(weights), infer={"enumerate": "parallel"})
        pyro.sample("Y", Normal(locs[k], 0.7))


MOVES = torch.tensor([[[0.8, 0.2], [0.6, 0.4]], [[0.3, 0.7], [0.1, 0.9]]])  # treatment, state, next state
TREATED = torch.tensor([0.7, 0.3])


def hidden_markov() -> None:
    """Hidden states S of a patient, a treatment D by state that bears on the next one, and measurements Y."""
    level = pyro.sample("level", Normal(2.0, 1.0))
    state, treated = torch.tensor(0), torch.tensor(0)
    for t in pyro.markov(range(STEPS)):
        state = pyro.sample(f"S_{t}", dist.Categorical(MOVES[treated, state]))
        treated = pyro.sample(f"D_{t}", dist.Bernoulli(TREATED[state])).long()
        pyro.sample(f"Y_{t}", Normal(level * state, 1.0))


class Decoder(nn.Module):
    """A small network of torch, with random weights, from a latent and a label to nine pixels."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 9))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return self.layers(torch.cat([z, label.unsqueeze(-1)], -1))


DECODER = Decoder()


def autoencoder() -> None:
    """A variational autoencoder with a decoder of torch: a latent Z of two dimensions, a label C, an image X."""
    pyro.module("decoder", DECODER)
    with pyro.plate("images", IMAGES):
        z = pyro.sample("Z", Normal(torch.zeros(2), 1.0).to_event(1))
        label = pyro.sample("C", dist.Bernoulli(torch.sigmoid(z[..., 0])))
        pyro.sample("X", Normal(DECODER(z, label), 0.3).to_event(1))


def counts() -> None:
    """Visits to a doctor, and days away from work that depend on them; one person, both counts given Z and X."""
    z = pyro.sample("Z", Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Bernoulli(logits=z))
    visits = pyro.sample("M", dist.Poisson(torch.exp(0.2 + 0.6 * x + 0.4 * z)))
    pyro.sample("Y", dist.NegativeBinomial(3.0, logits=-0.9 + 0.4 * x + 0.3 * z + 0.2 * visits))


INPUTS = torch.linspace(0.0, 3.0, TIMES)


def gaussian_process() -> None:
    """A curve over time from a Gaussian process, and a treatment X that adds to it at the times when it is given."""
    length = pyro.sample("length", dist.LogNormal(0.0, 0.5))
    effect = pyro.sample("effect", Normal(0.0, 1.0))
    distance = (INPUTS.unsqueeze(0) - INPUTS.unsqueeze(1)) / length
    kernel = torch.exp(-0.5 * distance**2) + 1e-4 * torch.eye(TIMES)
    f = pyro.sample("F", dist.MultivariateNormal(torch.zeros(TIMES), kernel))
    with pyro.plate("times", TIMES):
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", Normal(f + effect * x, 0.3))
