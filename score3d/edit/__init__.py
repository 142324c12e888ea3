"""Editing what exists: scenes, pictures, panoramas and videos, by the loop that generates."""
