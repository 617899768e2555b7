"""Packs of a site: how they share its power, and when they are replaced."""
