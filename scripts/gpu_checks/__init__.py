"""The checks of ``scripts/check_gpu.py``, by topic."""
