"""Geometry of a scene: fill.py fills grids by it, cameras.py finds the cameras. Start at fill.py."""
