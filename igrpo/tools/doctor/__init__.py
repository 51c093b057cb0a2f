"""Estimates of a run's memory, time and cost, and checks of its parts before it starts."""
