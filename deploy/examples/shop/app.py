"""A small shop: a single-page app and its own JSON API, in one FastAPI process.

The page asks the hub who is signed in (``static/shop.js``). The API does not believe the page: it reads the shared
cookie itself, through ``sso_client``. Set ``SSO_HUB``, ``SSO_REDIS_URL`` and ``APP_ORIGIN``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from sso_client import AsyncSessionReader
from sso_client.asgi import SSOMiddleware, signed_in

HERE = Path(__file__).parent
HUB, ORIGIN = os.environ["SSO_HUB"], os.environ["APP_ORIGIN"]
PAGE = (HERE / "static" / "index.html").read_text()

#: What is for sale: slug → name, price in euro cents.
ITEMS = {
    "teapot": ("Teapot", 3900),
    "mug": ("Mug", 1450),
    "kettle": ("Kettle", 6400),
    "tin": ("Tea tin", 1200),
}
#: Orders by ``user.id``, in memory. Never by username or address: those change hands.
ORDERS: defaultdict[str, list[str]] = defaultdict(list)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    f"connect-src 'self' {HUB}; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
}

app = FastAPI(title="shop", docs_url=None, redoc_url=None)
app.mount("/static", StaticFiles(directory=HERE / "static"))
app.mount("/shared", StaticFiles(directory=HERE.parent / "shared"))
# The page says nothing about anybody, so it needs no session and stays up when the store does not; orders do need it.
app.add_middleware(
    SSOMiddleware,
    reader=AsyncSessionReader(os.environ["SSO_REDIS_URL"]),
    hub=HUB,
    app_origin=ORIGIN,
    ignore=("/", "/items/", "/static/", "/shared/", "/healthz", "/api/items"),
)


@app.middleware("http")
async def headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """The security headers of every answer, refusals included."""
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


class Order(BaseModel):
    """What the page sends to order one thing."""

    item: str


@app.get("/api/items")
async def items() -> list[dict[str, str | int]]:
    """What is for sale; anybody may know."""
    return [{"slug": slug, "name": name, "price": price} for slug, (name, price) in ITEMS.items()]


@app.get("/api/orders")
async def orders(request: Request, response: Response) -> list[str]:
    """My orders: 401 for nobody, 503 when nobody can be known."""
    response.headers["Cache-Control"] = "no-store"
    return ORDERS[signed_in(request).user.id]


@app.post("/api/orders", status_code=201)
async def order(request: Request, wanted: Order) -> list[str]:
    """Order one thing."""
    session = signed_in(request)
    # The shared cookie comes along from every sibling app's pages: only our own may order in somebody's name.
    if request.headers.get("origin") != ORIGIN:
        raise HTTPException(403, "Orders come from the shop's own pages.")
    if wanted.item not in ITEMS:
        raise HTTPException(404, "We do not sell that.")
    ORDERS[session.user.id] = [wanted.item, *ORDERS[session.user.id]][:20]
    return ORDERS[session.user.id]


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive; says nothing of the store."""
    return {"status": "ok"}


@app.get("/", response_class=HTMLResponse)
@app.get("/items/{slug}", response_class=HTMLResponse)
async def page(slug: str = "") -> str:
    """The single page; every address a person may have kept leads to it."""
    del slug
    wiki = os.environ.get("WIKI_ORIGIN", HUB)
    return PAGE.replace("{{hub}}", escape(HUB)).replace("{{wiki}}", escape(wiki))
