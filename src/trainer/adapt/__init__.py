"""Adapting the general network to the images at hand: `measure` tells their noise."""
