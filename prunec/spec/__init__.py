"""The spec: what a `.prune` file asks for, checked (`load`), and the modules that its selectors
choose (`select`).
"""

from prunec.spec.methods import DEFAULT_REPAIR as DEFAULT_REPAIR
from prunec.spec.methods import DEFAULT_SCORE as DEFAULT_SCORE
from prunec.spec.methods import DEFAULT_SOLVER as DEFAULT_SOLVER
from prunec.spec.methods import FORMATS as FORMATS
from prunec.spec.methods import L1 as L1
from prunec.spec.methods import L2 as L2
from prunec.spec.methods import REPAIRS as REPAIRS
from prunec.spec.methods import SCORES as SCORES
from prunec.spec.methods import SOLVERS as SOLVERS
from prunec.spec.methods import BatchNorm as BatchNorm
from prunec.spec.methods import Dp as Dp
from prunec.spec.methods import Format as Format
from prunec.spec.methods import Greedy as Greedy
from prunec.spec.methods import HuggingFace as HuggingFace
from prunec.spec.methods import LeastSquares as LeastSquares
from prunec.spec.methods import Lp as Lp
from prunec.spec.methods import Obs as Obs
from prunec.spec.methods import Onnx as Onnx
from prunec.spec.methods import Random as Random
from prunec.spec.methods import Repair as Repair
from prunec.spec.methods import Score as Score
from prunec.spec.methods import Solver as Solver
from prunec.spec.methods import Taylor as Taylor
from prunec.spec.methods import TorchPruning as TorchPruning
from prunec.spec.methods import Uniform as Uniform
from prunec.spec.resolve import load as load
from prunec.spec.schema import Amount as Amount
from prunec.spec.schema import Count as Count
from prunec.spec.schema import Data as Data
from prunec.spec.schema import Emit as Emit
from prunec.spec.schema import Factory as Factory
from prunec.spec.schema import Freeze as Freeze
from prunec.spec.schema import Input as Input
from prunec.spec.schema import Model as Model
from prunec.spec.schema import Part as Part
from prunec.spec.schema import Prune as Prune
from prunec.spec.schema import Share as Share
from prunec.spec.schema import Spec as Spec
from prunec.spec.schema import Target as Target
from prunec.spec.schema import WeightsFile as WeightsFile
from prunec.spec.selector import select as select
from prunec.spec.selector import text as text
from prunec.spec.selector import unmatched as unmatched
