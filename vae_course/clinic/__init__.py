r"""The clinic: what is wrong with a trained VAE, measured on the model itself.

    report = clinic.examine(model, images, test_images=test_images, loss=loss, history=history)
    report            # findings, worst first, each with its evidence and what to change
    report.save("report.html")

The model may be the course's or anyone's: its parts are found by trying (`recognise`), or described
by three functions (`describe`). The loss is read from its values (`audit`). `clinic.patients` holds
sick trainings to practise on.
"""

from vae_course.clinic.audit import Audit, audit
from vae_course.clinic.examination import examine
from vae_course.clinic.recognise import Parts, describe, recognise
from vae_course.clinic.report import Finding, Report

__all__ = ["Audit", "Finding", "Parts", "Report", "audit", "describe", "examine", "recognise"]
