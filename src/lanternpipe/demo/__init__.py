"""First light: a broker in memory and a live picture of records flowing."""
