"""The factory: a simulated plant that renders weld images with exact masks."""
