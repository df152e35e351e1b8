"""Fixtures of the tests of osc.jax."""

import pytest


@pytest.fixture
def with_float64():
    import jax

    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture(params=["library", "formulas"])
def each_way(request, monkeypatch):
    """Runs a test with the library, and with the formulas of other platforms."""
    import jax

    from osc import _jax
    from osc._reference_jax import contrastive

    monkeypatch.setattr(_jax, "FORMULAS_EVERYWHERE", request.param == "formulas")
    monkeypatch.setattr(contrastive, "BLOCK", 60)  # so that 24 slots are several blocks
    jax.clear_caches()  # drop programs that were traced for the other setting
    yield request.param
    jax.clear_caches()
