"""What Prometheus may know of this installation: how much, how fast, how many failures. Never of whom.

Labels are from short fixed lists: no person, address, app, token or path. Knows nothing of Django, so that the edge
can count too.
"""
