"""What an object looks like in three dimensions: a diffusion model of volumes."""
