"""One typed function for each command, which can also be called from Python.

``lightning-gans invert ckpt=RUN n=10`` is ``lightning_gans.workflows.invert.invert("RUN", n=10)``.
The command line is built from these signatures and docstrings. A module that has no function of
the same name is shared by several workflows.
"""
