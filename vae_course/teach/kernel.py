r"""The kernel that a submission runs in: ipykernel behind a fence.

    python -m vae_course.teach.kernel FENCE.json -f CONNECTION_FILE
"""

import json
import sys


def main() -> None:
    from vae_course.teach import fence

    with open(sys.argv.pop(1), encoding="utf-8") as file:
        settings = json.load(file)
    fence.limit(**settings["limits"])
    fence.shut(settings["write"], settings["read"])
    from ipykernel.kernelapp import IPKernelApp

    from vae_course import checks, plots  # loads torch: no cell's seconds go to that
    from vae_course.checks import graded

    checks.exercises()
    assert graded and plots
    IPKernelApp.launch_instance()


if __name__ == "__main__":
    main()
