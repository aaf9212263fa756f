"""Metrics that need weights which the user has; files are named and never fetched. scores.py (what each number is), frechet.py and walks.py (FVD), i3d.py, videoscore.py."""
