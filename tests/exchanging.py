"""Views become times and times views, of grids that tests compare."""


def exchanged(grid):
    """`exchanged(grid).frames[t, v] = grid.frames[v, t]`; cameras belong to views and are dropped."""
    frames, known = (part.transpose(0, 1).contiguous() for part in (grid.frames, grid.known))
    return grid.replace(frames=frames, known=known, cameras=None)
