r"""Long trainings: `vae-course train`."""
