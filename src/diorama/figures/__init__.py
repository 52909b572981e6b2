"""Figures: bodies and rigs, their motion, and the maps drawn from them."""
