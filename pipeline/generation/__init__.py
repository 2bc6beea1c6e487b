"""From deficits to finished synthetic images: plan, pool, diffusion model, engines."""
