"""Image and video metrics as the field computes them, and as they should be.

| file | what |
|---|---|
| `frames` | videos, masks, boxes of hands and feet, windows |
| `pixels` | PSNR, SSIM, L1 in float, whole or of a region |
| `disco` | the same as the field's scripts compute them, faults included: every name ends in ``_disco`` |
| `perceptual`, `trunks`, `weights` | LPIPS with AlexNet or VGG16 from the user's files; I3D, VideoMAE |
| `standins` | ``lpips-standin``, ``fvd-standin``: fixed filters where those files are absent |
| `frechet` | Frechet distance, FVD |
| `suite`, `columns`, `table` | all of them of a clip; tables over clips and tags |
"""
