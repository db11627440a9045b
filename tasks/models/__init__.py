"""Adapters to SAM, diffusers and open_clip; torch is imported when a model is loaded, not before."""
