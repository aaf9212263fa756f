"""From a grid to Gaussians that move: gaussians.py the data, rasterizer.py draws them, fit.py finds them, splat_file.py keeps them."""
