"""`python -m vae_course` does what `vae-course` does."""

import sys

from vae_course.cli import main

sys.exit(main())
