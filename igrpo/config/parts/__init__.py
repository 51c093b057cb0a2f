"""The schema's interchangeable parts: one file a config group whose choices have fields of their own."""
