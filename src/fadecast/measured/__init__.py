"""Measured cells: readers that check units and columns, and the statistics fitted from them.

The raw files are not part of the package. `catalogue` says where each one comes from and where it is looked
for; what is fitted from them, and small, is committed under `fadecast/data` with its source.
"""
