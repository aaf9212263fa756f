"""Reading and writing files: videos and pictures (video.py), all-or-nothing writing of tensors (atomic.py)."""
