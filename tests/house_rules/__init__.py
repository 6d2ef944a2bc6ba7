"""The house rules of the notebooks: each yields what is wrong, in which cell, and what to do.

A rule is a function from a notebook to sentences, none if all is well. `tests/test_notebooks.py`
applies all of them to every notebook; `tests/test_house_rules.py` breaks each of them once.
"""

from . import code_rules, notation_rules, output_rules, text_rules
from .notebook import Cell, Notebook

RULES = (
    code_rules.executed_in_order,
    code_rules.code_is_plain_python,
    code_rules.cells_are_short,
    code_rules.lines_are_narrow,
    code_rules.brackets_are_whole,
    code_rules.prose_between_code,
    code_rules.setup_is_first,
    code_rules.settings_have_comments,
    code_rules.names_keep_their_meaning,
    code_rules.tags_are_known,
    code_rules.claims_are_silent,
    code_rules.ignored_output_has_a_claim,
    code_rules.one_diagram,
    output_rules.outputs_stored,
    output_rules.no_error_stored,
    output_rules.no_stderr_stored,
    output_rules.images_have_alt_text,
    output_rules.first_screen_has_a_picture,
    output_rules.no_widgets_stored,
    output_rules.no_library_reprs,
    output_rules.no_bare_history,
    output_rules.no_machine_path,
    output_rules.no_registry_host,
    output_rules.stored_form,
    output_rules.small_enough,
    notation_rules.symbols_are_in_the_table,
    notation_rules.variables_are_those_of_the_table,
    text_rules.headings_in_order,
    text_rules.closing_sections,
    text_rules.links_resolve,
    text_rules.links_lead_through_the_course,
    text_rules.colab_opens_this_notebook,
    text_rules.markdown_pictures,
    text_rules.folds_are_well_formed,
    text_rules.predictions_have_answers,
    text_rules.exercises_have_solutions,
)

__all__ = ["RULES", "Cell", "Notebook"]
