"""Grids as pictures: a contact sheet to look at, atlases for players."""
