"""One sign-in across parent domains: tickets carry it to further sites (``docs/hand-off.md``)."""
