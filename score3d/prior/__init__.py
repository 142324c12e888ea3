"""What an object looks like in three dimensions: a diffusion model of coloured point clouds."""
