# nbgrader's settings for this folder: `nbgrader` and the formgrader read them, and so does
# `vae-course teach`.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "vae"
c.ClearSolutions.code_stub = {"python": "pass  # your code here"}
c.ClearSolutions.text_stub = "*Your answer here.*"
