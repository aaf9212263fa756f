"""Geometry of a scene: its cameras (cameras.py)."""
