# nbgrader's settings for this folder: `nbgrader`, the formgrader and `vae-course teach` read them.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "vae"
c.ClearSolutions.code_stub = {"python": "pass  # your code here"}
c.ClearSolutions.text_stub = "*Your answer here.*"
# What a cell writes to stderr (a log, a progress bar) is no failed test; an error is.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = r"[\s\S]"
# What is for the instructor to look at stays out of the students' pages.
c.GenerateFeedback.preprocessors = [
    "vae_course.teach.feedback.ForStudents",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
