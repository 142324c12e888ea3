"""Files in and out: splats, meshes, pictures. Nothing here needs torch."""
