"""The procedural world: shapes, colours, captions and training renders.

The embedded teacher and its judge are trained on this world, and because it is known,
generated geometry can be compared with ground truth.
"""
