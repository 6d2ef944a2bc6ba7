r"""The instructor's week, over nbgrader: release, collect, grade, feedback, scores.

`vae-course teach …` calls it. All that it writes lies in a course folder of the instructor's; the
checkout of the course is only read. assignments/README.md tells the week.
"""
