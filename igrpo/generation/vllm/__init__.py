"""Sampling with vLLM: in the trainer's process (`colocate`), or from a server (`server`, with its `supervisor`).

Nothing here imports vllm before an engine is created, because the import alone takes most of a minute.
"""
