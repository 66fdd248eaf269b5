"""Figures and tables of the papers: what each trains, measures and claims, and whether it holds.

An item is a YAML file in ``configs/reproduce``. The commands ``reproduce list``, ``reproduce run``
and ``reproduce report`` are in ``workflows``.
"""
