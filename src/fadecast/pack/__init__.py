"""Packs of groups in series: what their windows leave of a pack, and how they drift apart."""
