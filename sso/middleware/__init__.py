"""What happens to every request of the hub before and after its view, outermost first in settings."""
