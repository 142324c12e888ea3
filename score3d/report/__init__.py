"""Pages people look at: the viewer, the report of a run, comparisons, galleries."""
