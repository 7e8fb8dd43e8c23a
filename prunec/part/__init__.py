"""Part: one submodule in place of the whole model.

The whole model runs on its own inputs, and what the submodule is called with is recorded: that is
what it is traced, calibrated and proved with. A slim part is installed where the original was.
"""

from prunec.part.data import Asked as Asked
from prunec.part.data import asked as asked
from prunec.part.data import batches as batches
from prunec.part.install import check_shared as check_shared
from prunec.part.install import install as install
from prunec.part.record import Call as Call
from prunec.part.take import Taken as Taken
from prunec.part.take import take as take
from prunec.part.whole import Whole as Whole
