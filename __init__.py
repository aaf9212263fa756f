"""4Real-Video for ComfyUI: two ordinary videos in, every view at every time out.

The host imports this file and calls `comfy_entrypoint`. Nothing else is imported until then, so that tests and
`fourreal_core` work without a host. The list of nodes is in nodes/__init__.py.
"""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Give the host the extension that lists all nodes."""
    from .nodes import FourRealExtension

    return FourRealExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
