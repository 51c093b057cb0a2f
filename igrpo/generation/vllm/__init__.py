"""Sampling with vLLM: in the trainer's process (`colocate`), or from a server (`server`, with its `supervisor`).

Nothing here imports vllm before an engine is made: the import alone takes the better part of a minute.
"""
