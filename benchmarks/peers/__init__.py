"""Others that do the same work, each as its own documentation would have it."""
