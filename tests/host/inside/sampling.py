"""How tests sample unless they say otherwise, as settings of 4Real Sampler and of ComfyUI's KSampler."""

SAMPLER = {
    "strength": 1.0,
    "seed": 3,
    "steps": 2,
    "sampler": "euler",
    "scheduler": "simple",
    "cfg": 1.0,
    "denoise": 1.0,
}
KSAMPLER = {"seed": 3, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
