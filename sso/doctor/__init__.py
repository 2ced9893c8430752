"""The cookie doctor: why somebody who signed in is nobody, by trying it, in the browser and from the server.

``findings`` says what may be wrong, ``observations`` what is looked at, ``rules`` goes from one to the other. ``calls``
makes real requests, ``server_checks`` looks at what the server stands on, ``rounds`` does both now and then.
"""
