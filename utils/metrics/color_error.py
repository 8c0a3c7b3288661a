"""How far colours and brightness of whole regions have moved, detail left aside."""

import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from utils.pictures.color_fix import wavelet_low


def color_error(sr: torch.Tensor, reference: torch.Tensor) -> float:
    """Mean CIEDE2000 between the low frequencies (`wavelet_low`) of two pictures [1,3,H,W] in [0,1]; sRGB with white D65; 0 for equal colours.

    A difference of about 1 is just visible side by side (Sharma, Wu and Dalal 2005). The low frequencies, without what is below some 30 pixels,
    leave out sharpness and noise, which PSNR is for.
    """
    one, other = (rgb2lab(wavelet_low(rgb.double())[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy()) for rgb in (sr, reference))
    return float(deltaE_ciede2000(one, other).mean())
