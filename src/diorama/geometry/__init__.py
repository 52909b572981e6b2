"""Views from geometry."""
