"""Small text-to-image latent diffusion models in Stable Diffusion's format, trained from scratch."""
