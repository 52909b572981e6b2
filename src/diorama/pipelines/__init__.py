"""The recipes; none imports another."""
