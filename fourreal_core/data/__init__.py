"""Training and evaluation data: rendered scenes (gltf, sky, render, scenes), warped videos (pseudo4d) and their storage (shards)."""
