"""The tests of tensor functions run on one thread. (Shapes are checked at run time: see tests/conftest.py.)"""

import torch

torch.set_num_threads(1)
