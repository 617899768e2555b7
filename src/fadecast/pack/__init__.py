"""Packs: groups in series and their balance, how packs share the power of a site, and when they are replaced."""
