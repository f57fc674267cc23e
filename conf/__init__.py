"""Configuration groups of Scribble, found by Hydra as ``pkg://conf``."""
