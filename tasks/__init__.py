"""Prefect tasks, one file a stage, over the method (domain) and its models, store and factory."""
