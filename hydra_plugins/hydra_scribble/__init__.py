"""Scribble's plugins for Hydra, which looks for them in this namespace.

Every program that uses Hydra imports them, so they load nothing before they are used;
what they do is in ``experiments/sweep``.
"""
