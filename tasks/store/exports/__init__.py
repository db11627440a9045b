"""Exports of a pool's version in the formats that other tools open, one file a format."""
