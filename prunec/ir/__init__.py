"""Data of the compiler: graphs, axes, groups, plans. Frozen, and without tensors."""
