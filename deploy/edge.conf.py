"""How gunicorn serves the edge as processes of its own: ``SSO_BIND=127.0.0.1:8010 gunicorn -c deploy/edge.conf.py``.

All that deploy/gunicorn.conf.py says holds here too, its variables included; ``SSO_THREADS`` and ``SSO_ACCESS_LOG``
have no meaning: one event loop serves each process, and nothing is written per request.
"""

from pathlib import Path
from runpy import run_path

globals().update(run_path(str(Path(__file__).with_name("gunicorn.conf.py"))))

wsgi_app = "authserver.asgi:application"
worker_class = "authserver.edge_worker.EdgeWorker"
threads = 1
# Of each process; proxies keep theirs open.
worker_connections = 4096
accesslog = None
