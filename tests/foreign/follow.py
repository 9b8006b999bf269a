"""Follows a stream with a Python library.

Prints each event as a line of JSON, and exits when the library has stopped for good.
"""

import asyncio
import json
import sys

import aiohttp_sse_client.client
import httpx
import httpx_sse
import requests
import sseclient


def report(event, id, data):
    print(json.dumps({"event": event, "id": id, "data": data}), flush=True)


def by_httpx_sse(url):
    with httpx.Client(timeout=None) as client, httpx_sse.connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            report(event.event, event.id, event.data)


def by_httpx_sse_in_a_loop(url):
    last = None
    with httpx.Client(timeout=None) as client:
        while True:
            headers = {} if last is None else {"Last-Event-ID": last}
            try:
                with httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
                    if source.response.status_code == 204:
                        return
                    for event in source.iter_sse():
                        last = event.id or last
                        report(event.event, event.id, event.data)
            except httpx.TransportError:
                pass


def by_sseclient_py(url):
    with requests.get(url, stream=True, headers={"Accept": "text/event-stream"}) as response:
        for event in sseclient.SSEClient(response).events():
            report(event.event, event.id, event.data)


def by_aiohttp_sse_client(url):
    async def follow():
        async with aiohttp_sse_client.client.EventSource(url, timeout=None) as source:
            async for event in source:
                report(event.type, event.last_event_id, event.data)

    asyncio.run(follow())


LIBRARIES = {
    "httpx-sse": by_httpx_sse,
    "httpx-sse in a loop": by_httpx_sse_in_a_loop,
    "sseclient-py": by_sseclient_py,
    "aiohttp-sse-client": by_aiohttp_sse_client,
}

if __name__ == "__main__":
    LIBRARIES[sys.argv[1]](sys.argv[2])
