"""osc.jax on several devices. How many there are must be said before JAX starts, so the tests are
in a module of their own, jax_on_devices.py, which runs in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("jax")


@pytest.mark.parametrize("devices, which", [(2, "inside or outside or assignments"), (4, "test")])
def test_on_so_many_devices_of_the_host(devices, which):
    tests = pathlib.Path(__file__).with_name("jax_on_devices.py")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", which, tests],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stdout[-8000:]
