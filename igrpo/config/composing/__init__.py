"""How the YAML folders become a checked configuration: where they lie, how Hydra finds them, what its errors mean.

Only this package knows Hydra's insides; it imports nothing heavy.
"""
