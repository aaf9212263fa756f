"""How good a filled grid is: image.py (PSNR, SSIM), measure.py (one fill), compare.py (all of them), report.py (tables, figures)."""
