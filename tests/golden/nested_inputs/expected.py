# Written by prunec from case.prune.

from torch import nn


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(4, 6)
        self.right = nn.Linear(5, 6)

    def forward(self, pair, extra, flip=False):
        """Return a dict of the original's output fields."""
        pair_0, pair_1 = pair
        extra_bias = extra["bias"]
        if flip is not False:
            raise ValueError("flip is fixed to False")
        x = self.left(pair_0) + self.right(pair_1) + extra_bias
        return {"sum": x, "parts": [pair_0, (x.mean(), None)]}


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
