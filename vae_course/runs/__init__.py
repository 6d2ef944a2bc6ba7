r"""Long trainings: `vae-course train`."""

GO_ON = (
    "A checkpoint in --out is kept: give the same command with --resume to go on from it, and "
    "with --device cpu if the device stays away."
)
