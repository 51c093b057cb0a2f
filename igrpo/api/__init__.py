"""Functions of the public API, which `igrpo` itself offers: compose settings, train, verify."""
