import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, UnreachableError } from "../src/errors.js";
import { Retry } from "../src/publish/retry.js";
import { backoff, Elapsed, sleep, within } from "../src/timing.js";

test("a delay doubles with each failure up to the most, of which a random half to whole is waited", () => {
  const delays = (random: number) =>
    [1, 2, 3, 6, 7, 100].map((failures) => backoff(100, 5_000, failures, () => random));
  assert.deepEqual(delays(0), [50, 100, 200, 1_600, 2_500, 2_500]);
  assert.deepEqual(delays(1), [100, 200, 400, 3_200, 5_000, 5_000]);
});

test("a wait ends with what comes first", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const never = new AbortController().signal;
  assert.equal(await within(10, never, (resolve) => resolve("value")), "value");
  const late = assert.rejects(
    within(10, never, () => {}),
    Elapsed,
  );
  t.mock.timers.tick(10);
  await late;
  const abort = new AbortController();
  const aborted = assert.rejects(sleep(10, abort.signal), { message: "enough" });
  abort.abort(new Error("enough"));
  await aborted;
  await assert.rejects(sleep(10, abort.signal), { message: "enough" });
});

test("there is another attempt after errors that pass, and no sooner than the broker says", async () => {
  const never = new AbortController().signal;
  const error = (status: number, retryAfter?: number) =>
    new ApiError({ status, code: "c", message: "m", retryAfter });
  for (const passing of [
    error(408),
    error(429),
    error(500),
    error(503),
    new UnreachableError("gone"),
  ]) {
    await new Retry(60_000).pause(passing, never);
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
