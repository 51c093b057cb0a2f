"""Generative judge as a reward: a model reads the question and a solution, and rates the solution from 0 to 1."""
