"""Adapters to SAM, diffusers and open_clip; torch is imported when one is loaded."""
