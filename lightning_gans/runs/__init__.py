"""A run's folder: its layout, checkpoints, metrics and report.

Importing this package imports nothing heavy.
"""
