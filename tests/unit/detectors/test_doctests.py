"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import detectors

MODULES = [f"detectors.{each.name}" for each in pkgutil.iter_modules(detectors.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    for name in ("detectors.mean_monitor", "detectors.drift_monitor"):
        assert doctest.testmod(importlib.import_module(name)).attempted >= 5
