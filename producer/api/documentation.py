"""`/docs`: Swagger UI, served from local files so that browsers need no other network."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from producer.api.security import CLOSED

ASSETS = "/docs/assets"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    f"connect-src 'self'; {CLOSED}"
)
PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Starlight API</title>
<link rel="stylesheet" href="{ASSETS}/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="{ASSETS}/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"""
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'


def add_documentation(app: FastAPI) -> None:
    """Serve the page and its assets."""
    app.mount(ASSETS, StaticFiles(directory=Path(str(files("fastapi_offline"))) / "static"))

    @app.get("/docs", include_in_schema=False)
    def serve_page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    def serve_script() -> HTMLResponse:
        return HTMLResponse(START, media_type="text/javascript")
