// `useStream` in tabs that share a connection.

import "./dom.js";
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import { StrictMode } from "react";
import { type UseStreamOptions, useStream } from "tinistreamer/react";
import { startTabs } from "./tabs.js";

afterEach(cleanup);

const render = (options: UseStreamOptions) =>
  renderHook((options: UseStreamOptions) => useStream(options), {
    initialProps: options,
    wrapper: StrictMode,
  });

test("useStream shares a connection with the other tabs", async (t) => {
  const { client, urls, token, locks, add, connections } = await startTabs(t);
  const options = { url: urls.sse, token, shareTabs: "alice" };
  const hooks = [render(options), render(options), render(options)];
  await add(3);
  for (const { result } of hooks) await waitFor(() => assert.equal(result.current.text, "1 2 3 "));
  await act(() => connections(1));
  await act(() => client.cancelStream("k", { by: "bob" }));
  for (const { result } of hooks) {
    await waitFor(() => assert.equal(result.current.status, "cancelled"));
    assert.deepEqual(result.current.reason, { by: "bob" });
    assert.equal(await result.current.requestStop(), null);
  }
  await waitFor(() => assert.equal(locks.inUse, 0));
});

test("useStream goes on in another tab when its own is unmounted", async (t) => {
  const { client, urls, token, add, connections } = await startTabs(t);
  const options = { url: urls.sse, token, shareTabs: "alice" };
  const [leading, other] = [render(options), render(options)];
  await add(3);
  for (const { result } of [leading, other])
    await waitFor(() => assert.equal(result.current.text, "1 2 3 "));
  await act(() => connections(1));
  leading.unmount();
  await add(3);
  await client.endStream("k");
  await waitFor(() => assert.equal(other.result.current.status, "ended"));
  assert.equal(other.result.current.text, "1 2 3 4 5 6 ");
});

test("another user starts again in another group", async (t) => {
  const { urls, token, channels, add, locks } = await startTabs(t);
  const options = { url: urls.sse, token };
  const { result, rerender, unmount } = render({ ...options, shareTabs: "alice" });
  await add(3);
  await waitFor(() => assert.equal(result.current.text, "1 2 3 "));
  const [alice] = locks.names;
  rerender({ ...options, shareTabs: "bob" });
  assert.equal(result.current.text, "");
  await waitFor(() => assert.equal(result.current.text, "1 2 3 "));
  await waitFor(() => assert.equal(locks.names.length, 1));
  assert.notEqual(locks.names[0], alice);
  rerender(options);
  await waitFor(() => assert.equal(result.current.text, "1 2 3 "));
  await waitFor(() => assert.equal(locks.inUse, 0));
  assert.equal(channels.open.size, 0);
  rerender({ ...options, shareTabs: "" });
  await waitFor(() => assert.equal(result.current.status, "failed"));
  assert.ok(result.current.error instanceof TypeError);
  unmount();
});
