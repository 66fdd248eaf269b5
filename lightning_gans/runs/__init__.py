"""A run's folder: where things lie in it, its checkpoints, its numbers, its report.

Importing the room imports nothing heavy.
"""
