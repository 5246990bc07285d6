"""Model families: structural causal models whose mechanisms are learned from data."""

from causal_pyro_models.models.additive import AdditiveNoiseModel, AdditiveNoiseNode, NeuralCausalModel
from causal_pyro_models.models.data import Batch, Intervened, Pairs
from causal_pyro_models.models.discrete import BernoulliNode, CategoricalNode, CountNode, OrdinalNode
from causal_pyro_models.models.flow import CausalFlow, CausalNormalizingFlow, FlowNode
from causal_pyro_models.models.gan import CausalGAN, GANNode
from causal_pyro_models.models.io import load, save
from causal_pyro_models.models.noise import Gaussian, Laplace, Learned, Logistic, StudentT, Uniform
from causal_pyro_models.models.regression import Linear, Network, Smooth
from causal_pyro_models.models.scalar_flow import LocationScale, Spline
from causal_pyro_models.models.structural import Node, StructuralCausalModel
from causal_pyro_models.models.tables import infer_variables
from causal_pyro_models.models.vae import CausalVAE, VAENode
from causal_pyro_models.models.variables import (
    Binary,
    Categorical,
    Continuous,
    Count,
    Image,
    Labelled,
    Ordinal,
    Positive,
    Variable,
)
from causal_pyro_models.models.vector_flow import VectorFlowNode

__all__ = [
    "AdditiveNoiseModel",
    "AdditiveNoiseNode",
    "Batch",
    "BernoulliNode",
    "Binary",
    "Categorical",
    "CategoricalNode",
    "CausalFlow",
    "CausalGAN",
    "CausalNormalizingFlow",
    "CausalVAE",
    "Continuous",
    "Count",
    "CountNode",
    "FlowNode",
    "GANNode",
    "Gaussian",
    "Image",
    "Intervened",
    "Labelled",
    "Laplace",
    "Learned",
    "Linear",
    "LocationScale",
    "Logistic",
    "Network",
    "NeuralCausalModel",
    "Node",
    "Ordinal",
    "OrdinalNode",
    "Pairs",
    "Positive",
    "Smooth",
    "Spline",
    "StructuralCausalModel",
    "StudentT",
    "Uniform",
    "VAENode",
    "Variable",
    "VectorFlowNode",
    "infer_variables",
    "load",
    "save",
]
