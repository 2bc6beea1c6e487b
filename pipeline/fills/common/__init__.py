"""What fills have in common: what they are made from, steps by budget, and the arrays that they name."""
