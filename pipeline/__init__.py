"""gen-fedsd: fill federated clients' missing classes with Stable Diffusion images, and measure whether it helped."""
