"""A generative judge as a reward: a model reads the question and a solution, and says how good it is, from 0 to 1."""
