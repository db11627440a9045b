"""Markdown of text that people gave: nothing in it can become markup."""

import html


def cell(text: str) -> str:
    """User text made harmless in a markdown table."""
    plain = html.escape(" ".join(text.split()))
    return "".join(f"\\{c}" if c in "|[]()`*_!<>\\" else c for c in plain)
