"""The method: pure functions and frozen records, with no torch, no Prefect and no disk."""
