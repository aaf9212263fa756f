"""What the two videos say about the scene: cameras, depth, motion, and every cell as each source would show it. Start at fill.py."""
