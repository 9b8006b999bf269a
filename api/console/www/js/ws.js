// One connection over WebSocket. Pages follow their stream over it, because a browser has only six
// HTTP/1.1 connections to a broker for all tabs.

import { ApiError, address, CLIENT_NAME } from "./api.js";

/**
 * Follows until the connection is closed.
 * @param {{key: string, token: string, after: string | null, signal: AbortSignal}} what
 * @param {import("./sse.js").Listener} listener
 * @returns {Promise<string>} The reason of the close. Empty when the stream is finished.
 * @throws {ApiError} It was not opened. A browser does not report the reason.
 */
export function followOverWs({ key, token, after, signal }, { onOpen, onFrames, onWire }) {
  const url = address("client/ws", {
    key,
    token,
    last_event_id: after ?? undefined,
    client_name: CLIENT_NAME,
  });
  url.protocol = url.protocol.replace("http", "ws");
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    const leave = () => {
      socket.close();
      reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    let opened = false;
    socket.onopen = () => {
      opened = true;
      if (!signal.aborted) onOpen?.();
    };
    socket.onmessage = ({ data }) => {
      if (signal.aborted) return;
      onWire?.(`${data}\n`);
      // First an array of all earlier events, then one event per message.
      const messages = [JSON.parse(data)].flat();
      if (messages.length > 0)
        onFrames(messages.map(({ id = null, event, data = "" }) => ({ id, event, data })));
    };
    socket.onclose = ({ code, reason }) => {
      if (signal.aborted) return;
      signal.removeEventListener("abort", leave);
      if (!opened)
        return reject(
          new ApiError(
            0,
            "refused",
            "The broker does not take the connection: it is unavailable, or has reached its limit",
          ),
        );
      onWire?.(`close ${code} ${reason}\n`);
      resolve(
        code === 1000 ? "" : `The connection was closed with ${code}${reason ? `: ${reason}` : ""}`,
      );
    };
  });
}
