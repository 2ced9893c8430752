"""What django-unfold says on our pages: it brings no language but English, so its sentences stand with ours."""

from django.utils.translation import gettext_noop as _

WORDS = (
    _("Search apps and models..."),
    _("Type to search"),
    _("Recent searches"),
    _("No recent searches"),
    _("No results matching your query"),
    _("Filters"),
    _("Apply Filters"),
    _("Clear all filters"),
    _("Reset filters"),
    _("No results found"),
    _("This page yielded into no results. Create a new item or reset your filters."),
    _("Select all rows"),
    _("Select record"),
    _("Select action"),
    _("Run the selected action"),
    _("Toggle sorting"),
    _("Remove from sorting"),
    _("More actions"),
    _("Choose file to upload"),
    _("Export"),
    _("Import"),
    _("Submit"),
    _("Confirm import"),
    _("This exporter will export the following fields"),
    _("This importer will import the following fields: "),
    _("Light"),
    _("Dark"),
    _("System"),
)
