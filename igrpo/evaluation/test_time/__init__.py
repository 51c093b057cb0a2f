"""Test-time modes: ways to answer a question with more than one sample, compared at equal numbers of samples."""
