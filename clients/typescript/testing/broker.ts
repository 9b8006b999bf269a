// A real broker for the tests of an application.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "tinistreamer";
import { program } from "#program";
import { Line } from "./line.js";

/** How long the broker may take to start, and a lease to run out. On a busy machine too. */
const TIMEOUT_MS = 60_000;

/** The shortest lease, in seconds. */
const SHORTEST_LEASE = 2;

/** Options of {@link startBroker}. */
export interface BrokerOptions {
  /** Settings of the broker, such as `{ STREAMER_MAX_CLIENTS: "1" }`. */
  settings?: Record<string, string>;
  /** Another program than that of the platform's package. Or set `TINISTREAMER_BIN`. */
  program?: string;
}

/** A running broker, with its streams in memory. `await using` stops it. */
export class TestBroker implements AsyncDisposable {
  /** Its address. The connection goes over {@link line}. */
  readonly url: string;
  readonly apiKey: string;
  /** A client with the API key. */
  readonly client: Client;
  /** What is between the application and the broker. */
  readonly line: Line;
  readonly #process: ChildProcess;
  readonly #direct: Client;

  /** @internal */
  constructor(process: ChildProcess, line: Line, direct: string, apiKey: string) {
    this.#process = process;
    this.line = line;
    this.url = `http://127.0.0.1:${line.port}`;
    this.apiKey = apiKey;
    this.client = new Client({ url: this.url, apiKey });
    this.#direct = new Client({ url: direct, apiKey });
  }

  /**
   * Lets the lease of this stream run out, as if its producer had died: the broker abandons the
   * stream. Nothing passes the line meanwhile. Takes about three seconds.
   *
   * @throws The stream is not active.
   */
  async letLeaseRunOut(key: string): Promise<void> {
    const deadline = Date.now() + TIMEOUT_MS;
    this.line.unplug();
    try {
      await this.#direct.renewStream(key, { lease: SHORTEST_LEASE });
      while ((await this.#direct.streamInfo(key)).status === "active") {
        if (Date.now() > deadline) throw new Error(`the lease of ${key} did not run out`);
        await sleep(50);
      }
    } finally {
      this.line.plug();
    }
  }

  /** Stops it, at once. */
  async stop(): Promise<void> {
    await this.line.close();
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGKILL");
    await once(this.#process, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * Starts a broker on a free port, in well under a second.
 *
 * @throws {Error} The program is not installed, or does not start; the message has what it printed.
 */
export async function startBroker(options: BrokerOptions = {}): Promise<TestBroker> {
  const file = options.program ?? process.env.TINISTREAMER_BIN ?? program();
  const line = await Line.start();
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("STREAMER_"));
  const child = spawn(path.resolve(file), ["dev", "--port", "0"], {
    // Away from the application's .env and Rocket.toml, which are for its own broker.
    cwd: tmpdir(),
    env: {
      ...Object.fromEntries(inherited),
      STREAMER_SERVER_ADDRESS: `http://127.0.0.1:${line.port}`,
      ...options.settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const kill = () => child.kill("SIGKILL");
  // A test runner that ends by force runs nothing else.
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  try {
    const { url, apiKey } = await greeting(child, options.settings?.STREAMER_API_KEY);
    line.leadTo(Number(new URL(url).port));
    return new TestBroker(child, line, url, apiKey);
  } catch (error) {
    kill();
    await line.close();
    throw error;
  }
}

/** The address and the API key that the broker prints when it listens. */
async function greeting(child: ChildProcess, knownKey: string | undefined) {
  let [out, log] = ["", ""];
  return new Promise<{ url: string; apiKey: string }>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`the broker does not start: ${why}\n${log}`));
    const timer = setTimeout(() => fail("it prints no address"), TIMEOUT_MS);
    child.once("error", (error) => fail(error.message));
    child.once("exit", (code) => fail(`it ended with ${code}`));
    child.stderr?.on("data", (chunk) => {
      // The end of a long log says no more about the start.
      if (log.length < 10_000) log += chunk;
    });
    child.stdout?.on("data", (chunk) => {
      out += chunk;
      const url = / listens on (http:\S+) /.exec(out)?.[1];
      const apiKey = knownKey ?? /^export STREAMER_API_KEY=(\S+)$/m.exec(out)?.[1];
      if (url === undefined || apiKey === undefined) return;
      clearTimeout(timer);
      child.stdout?.removeAllListeners("data").resume();
      resolve({ url, apiKey });
    });
  });
}
