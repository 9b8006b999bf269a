import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { ApiError, UnreachableError } from "../src/errors.js";
import { Retry } from "../src/publish/retry.js";
import { sleep, TimedOut, withTimeout } from "../src/timeout.js";

test("a retry delay doubles up to a limit, and is a random half to whole of it", () => {
  const delays = (random: number) => {
    const backoff = new Backoff(100, 5_000, () => random);
    return Array.from({ length: 100 }, () => backoff.delay()).filter((_, failure) =>
      [1, 2, 3, 6, 7, 100].includes(failure + 1),
    );
  };
  assert.deepEqual(delays(0), [50, 100, 200, 1_600, 2_500, 2_500]);
  assert.deepEqual(delays(1), [100, 200, 400, 3_200, 5_000, 5_000]);
});

test("a timeout, the result and the abort: the first one settles a promise", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const never = new AbortController().signal;
  assert.equal(await withTimeout(10, never, (resolve) => resolve("value")), "value");
  const late = assert.rejects(
    withTimeout(10, never, () => {}),
    TimedOut,
  );
  t.mock.timers.tick(10);
  await late;
  const abort = new AbortController();
  const aborted = assert.rejects(sleep(10, abort.signal), { message: "enough" });
  abort.abort(new Error("enough"));
  await aborted;
  await assert.rejects(sleep(10, abort.signal), { message: "enough" });
});

test("an upload is tried again after temporary errors, and not before Retry-After", async () => {
  const never = new AbortController().signal;
  const error = (status: number, retryAfter?: number) =>
    new ApiError({ status, code: "c", message: "m", retryAfter });
  for (const temporary of [
    error(408),
    error(429),
    error(500),
    error(503),
    new UnreachableError("gone"),
  ]) {
    await new Retry(60_000).pause(temporary, never);
  }
  for (const final of [
    error(400),
    error(401),
    error(404),
    error(409),
    new TypeError("no"),
    error(503, 61),
  ]) {
    await assert.rejects(new Retry(60_000).pause(final, never), final);
  }
});
