"""Model families: structural causal models whose mechanisms are learned from data.

``nodes`` has a file for each family, ``networks`` what nodes are made of. How models are trained is in ``training``.
"""

from causal_pyro_models.models.files import load, save
from causal_pyro_models.models.networks.features import encoded
from causal_pyro_models.models.networks.functions import Linear, Network, Smooth
from causal_pyro_models.models.networks.laws import Gaussian, Laplace, Learned, Logistic, StudentT, Uniform
from causal_pyro_models.models.networks.scalar_flow import LocationScale, Spline
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.nodes.additive import AdditiveNoiseModel, AdditiveNoiseNode, NeuralCausalModel
from causal_pyro_models.models.nodes.discrete import BernoulliNode, CategoricalNode, CountNode, OrdinalNode
from causal_pyro_models.models.nodes.flow import CausalFlow, CausalNormalizingFlow, FlowNode
from causal_pyro_models.models.nodes.gan import CausalGAN, GANNode
from causal_pyro_models.models.nodes.vae import CausalVAE, VAENode
from causal_pyro_models.models.nodes.vector_flow import VectorFlowNode
from causal_pyro_models.models.registry import register
from causal_pyro_models.models.structural import StructuralCausalModel

__all__ = [
    "AdditiveNoiseModel",
    "AdditiveNoiseNode",
    "BernoulliNode",
    "CategoricalNode",
    "CausalFlow",
    "CausalGAN",
    "CausalNormalizingFlow",
    "CausalVAE",
    "CountNode",
    "FlowNode",
    "GANNode",
    "Gaussian",
    "Laplace",
    "Learned",
    "Linear",
    "LocationScale",
    "Logistic",
    "Network",
    "NeuralCausalModel",
    "Node",
    "OrdinalNode",
    "Smooth",
    "Spline",
    "StructuralCausalModel",
    "StudentT",
    "Uniform",
    "VAENode",
    "VectorFlowNode",
    "encoded",
    "load",
    "register",
    "save",
]
