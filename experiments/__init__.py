"""Command line, configuration and terminal views: the room that imports Hydra.

Only the plugins in hydra_plugins import it as well. Nothing heavy is imported here, so
that ``scribble --help`` answers at once.
"""
