"""How much of the public model zoos prunec compiles: one record a model, one table of them all."""
