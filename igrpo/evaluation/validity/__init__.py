"""Checks of what could be wrong with the number of an evaluation: one file per check.

``verdicts`` and ``calibration`` need no further samples. ``sensitivity`` and ``contamination`` sample, and are done on
demand. None of them changes a verdict or an accuracy: they stand beside it.
"""
