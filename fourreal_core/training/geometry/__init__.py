"""Training of the geometry networks on rendered scenes, one file per network, all on the loop of loop.py. Start at run.py."""
