"""Interchangeable parts of the schema: one file per config group whose choices have their own fields."""
