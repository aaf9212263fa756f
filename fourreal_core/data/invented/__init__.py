"""Grids of invented scenes, drawn without models or OpenGL. Start at scenes.py."""
