"""How every program of the product prints, is interrupted and ends."""
