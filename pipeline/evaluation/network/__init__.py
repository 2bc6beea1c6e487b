"""How long the rounds of a recorded run take on a network: profiles, draws of links, transfer times, replay."""
