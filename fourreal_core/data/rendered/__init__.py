"""Grids rendered from animated 3D models with OpenGL. Start at scenes.py."""
