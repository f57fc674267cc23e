"""Command line, configuration and terminal views: the room that imports Hydra.

Nothing heavy is imported here, so that ``scribble --help`` answers at once.
"""
