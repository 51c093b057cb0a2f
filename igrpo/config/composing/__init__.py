"""Composition of YAML folders into a validated configuration with Hydra, and translation of Hydra's errors.

Only this package depends on Hydra's internals. It imports nothing heavy.
"""
