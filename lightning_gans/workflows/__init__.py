"""One typed function a command: what a person can type, Python users can call.

``lightning-gans invert ckpt=RUN n=10`` is ``lightning_gans.workflows.invert.invert("RUN", n=10)``.
The command line is made of these signatures and docstrings; a module without a function of its
own name is a part that several workflows share.
"""
