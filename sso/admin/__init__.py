"""The administrator's web UI under ``/admin/``: Django's admin in unfold's dress, entered through the hub's sign-in.

``site`` decides who enters, ``pages`` mounts pages that are no table of Django's, ``warnings`` collects what the
dashboard shows. People are in ``accounts.admin``.
"""
