"""A training of its own process: ``python training_run.py CHECKPOINT MODEL [LABEL STEP]`` dies by SIGKILL at a step."""

import os
import signal
import sys

import torch

from causal_pyro_models import CausalFlow, CausalGraph, fit, save
from causal_pyro_models.data import Binary, Categorical, Continuous

GRAPH = CausalGraph(["B", "C", "X", "Y"], [("B", "C"), ("C", "X"), ("B", "X"), ("X", "Y"), ("B", "Y")])
KINDS = {"B": Binary(), "C": Categorical(3), "X": Continuous(), "Y": Continuous()}
SETTINGS = {"steps": 60, "patience": 60, "batch_size": 100, "seed": 3, "progress": False}


def data():
    generator = torch.Generator().manual_seed(0)
    b = (torch.rand(300, generator=generator) < 0.4).double()
    c = torch.randint(0, 3, (300,), generator=generator)
    x = b + c + torch.randn(300, generator=generator)
    return {"B": b, "C": c, "X": x, "Y": torch.sin(x) + b * torch.randn(300, generator=generator)}


def model():
    return CausalFlow(GRAPH, KINDS, hidden=(8,))


def die_at(training, step):
    def callback(label, model, record):
        if label == training and record["step"] >= int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    return callback


if __name__ == "__main__":
    torch.set_num_threads(1)
    checkpoint, path, *where = sys.argv[1:]
    trained = model()
    fit(trained, data(), checkpoint=checkpoint, callbacks=[die_at(*where)] if where else [], **SETTINGS)
    save(trained, path)
