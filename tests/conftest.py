"""Settings shared by all tests: reproducible hypothesis runs, one thread, and no state left behind."""

import hypothesis
import pyro
import pytest
import torch

hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("reproducible")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def leaves_no_global_state():
    """Every test starts from one seed, and must leave Pyro's stack and parameter store and torch's dtype as found."""
    pyro.set_rng_seed(0)
    dtype = torch.get_default_dtype()
    yield
    assert not pyro.poutine.runtime._PYRO_STACK, "a test left handlers on Pyro's stack"
    assert torch.get_default_dtype() == dtype, "a test changed the default dtype"
    assert not dict(pyro.get_param_store()), "a test left parameters in the global store"
