r"""What a pen stroke looks like, measured from its pixels: slant, stroke thickness, width.

Second moments give the slant and the width, a distance transform the thickness (both from SciPy
and NumPy). No label and no network is asked, so an edit in a latent space can be judged by what
it did to the image.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["MEASURES", "measure", "slant", "thickness", "width"]

_ENLARGE = 3  # finer pixels for the distance transform


def _checked(images: Tensor) -> np.ndarray:
    r"""(N, 1, H, W) as an array (N, H, W); raises ValueError on anything else, and on no ink."""
    if not isinstance(images, Tensor) or images.dim() != 4 or images.shape[1] != 1:
        came = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images: {came}; expected a tensor of shape (N, 1, height, width)")
    pixels = images.detach().cpu().numpy()[:, 0].astype(np.float64)
    if pixels.size and not np.isfinite(pixels.sum()):
        raise ValueError("the images hold NaN or infinity; look where they first appear")
    if (empty := np.flatnonzero(pixels.max(axis=(1, 2), initial=0) <= 0)).size:
        raise ValueError(
            f"image {empty[0]} is black: without ink there is no slant, thickness or width"
        )
    return pixels


def _moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Var x, cov(x, y) and var y of the ink, with y pointing up; (N,) each, squared pixels."""
    ink = pixels / pixels.sum(axis=(1, 2), keepdims=True)
    height, width = pixels.shape[1:]
    across, up = np.arange(width)[None, None, :], -np.arange(height)[None, :, None]
    x = across - (ink * across).sum(axis=(1, 2), keepdims=True)
    y = up - (ink * up).sum(axis=(1, 2), keepdims=True)
    pixel = 1 / 12  # variance of a single pixel, a little square
    pairs = ((x * x, pixel), (x * y, 0.0), (y * y, pixel))
    return tuple((ink * product).sum(axis=(1, 2)) + own for product, own in pairs)


def slant(images: Tensor) -> Tensor:
    r"""How far each image leans to the right of upright, in degrees; negative leans to the left.

    The line x = s · y that follows the ink best in each row has s = cov(x, y) / var(y); its angle
    is arctan s. Taking it out by a shear is the classical deslanting of handwriting.

    Shapes: images (N, 1, H, W), ink bright → (N,)
    Raises: ValueError on another shape, NaN, or an image without ink.
    """
    _, covariance, var_y = _moments(_checked(images))
    return torch.from_numpy(np.degrees(np.arctan2(covariance, var_y))).float()


def width(images: Tensor) -> Tensor:
    r"""How wide each image is once its slant is taken out, in pixels.

    √12 times the standard deviation of x about the slanted axis: the width of a box that is
    spread as much.

    Shapes: images (N, 1, H, W), ink bright → (N,)
    Raises: ValueError on another shape, NaN, or an image without ink.
    """
    var_x, covariance, var_y = _moments(_checked(images))
    return torch.from_numpy(np.sqrt(12 * (var_x - covariance**2 / var_y))).float()


def thickness(images: Tensor) -> Tensor:
    r"""How thick the stroke of each image is, in pixels.

    Inside a long stroke of thickness w the distance to the nearest edge runs from 0 to w / 2 and
    back, w / 4 on average: so four times the mean distance, a few percent low where a stroke is
    short (its ends are edges too). Ink is what is brighter than half of the brightest pixel, on
    pixels three times as fine.

    Shapes: images (N, 1, H, W), ink bright → (N,)
    Raises: ValueError on another shape, NaN, or an image without ink.
    """
    from scipy import ndimage

    pixels = _checked(images)
    pixels = np.pad(pixels / pixels.max(axis=(1, 2), keepdims=True), ((0, 0), (1, 1), (1, 1)))
    fine = F.interpolate(torch.from_numpy(pixels)[:, None], scale_factor=_ENLARGE, mode="bilinear")
    means = []
    for ink in (fine[:, 0] > 0.5).numpy():
        to_the_edge = ndimage.distance_transform_edt(ink) - 0.5  # from pixel centre to edge
        means.append(to_the_edge[ink].mean())
    return 4 * torch.tensor(means).float() / _ENLARGE


MEASURES = {"slant": slant, "thickness": thickness, "width": width}


def measure(images: Tensor) -> Tensor:
    r"""Slant (degrees), thickness (pixels) and width (pixels) of each image, in this order.

    Shapes: images (N, 1, H, W), ink bright → (N, 3)
    Raises: ValueError on another shape, NaN, or an image without ink.
    """
    return torch.stack([function(images) for function in MEASURES.values()], dim=1)
