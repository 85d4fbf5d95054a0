"""The loops. They decide in pure functions, act through small protocols and know no client."""
