"""FastAPI, by the README's recipe."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse
from sso_client import AsyncSessionReader, Session
from sso_client.asgi import SSOMiddleware, signed_in

app = FastAPI(default_response_class=PlainTextResponse)
app.add_middleware(
    SSOMiddleware,
    reader=AsyncSessionReader(os.environ["SSO_REDIS_URL"]),
    hub="https://auth.example.com",
    app_origin=os.environ.get("APP_ORIGIN"),
    ignore=("/public",),
)


async def somebody(request: Request) -> Session:
    return signed_in(request)


@app.get("/public")
async def public() -> str:
    return "for everybody"


@app.get("/maybe")
async def maybe(request: Request) -> str:
    session: Session | None = request.state.sso
    return session.user.name if session else "nobody"


@app.api_route("/private", methods=["GET", "HEAD", "POST"])
async def private(session: Annotated[Session, Depends(somebody)]) -> str:
    return session.user.name


@app.get("/editors")
def editors(request: Request) -> str:
    return signed_in(request, groups=["editors", "chiefs"]).user.name


@app.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    session = signed_in(websocket)
    await websocket.accept()
    await websocket.send_text(session.user.name)
    await websocket.close()
