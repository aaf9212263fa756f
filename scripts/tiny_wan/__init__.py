"""Parts of scripts/train_tiny_wan.py: a video model of ComfyUI's own Wan classes, small enough to train on one CPU core.

`pixels.py` its linear latents, `clips.py` what it is trained on, `network.py` the network and its file, `learning.py` the training,
`streams.py` its synchronization layers and the comparison of all modes.
"""
