import math

import torch

from utils.pictures.consistency import lr_consistency


def test_by_hand():
    lq = torch.full((1, 3, 8, 8), 0.5)
    assert lr_consistency(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 8, 8)) == math.inf
    assert abs(lr_consistency(torch.full((1, 3, 32, 32), 0.6), lq) - 20) < 1e-3
