"""Grids in and out of the rest of the world: recordings of a rig (rig.py, recordings.py), folders of videos and images (folders.py), datasets
with cameras (nerfstudio.py), image batches (batch.py), and pictures for eyes and displays with depth (stereo.py, quilt.py)."""
