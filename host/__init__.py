"""What knows ComfyUI and is no node: the nodes in nodes/ are made of these. Start at types.py and model.py."""
