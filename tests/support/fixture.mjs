// Holds the processes, folders and servers that one test has started.

import { randomBytes } from 'node:crypto';
import { startBroker } from './broker.mjs';
import { makeFolder, removeFolder } from './processes.mjs';
import { startRedis } from './redis.mjs';

export class Fixture {
  #closers = [];
  #redis;
  #settings;

  /** `store` is `memory` or `redis`. `settings` apply to each broker. */
  constructor(store, settings = {}) {
    this.store = store;
    this.folder = makeFolder();
    this.atClose(() => removeFolder(this.folder));
    this.#settings = {
      STREAMER_API_KEY: randomBytes(16).toString('hex'),
      STREAMER_SECRET_KEY: randomBytes(32).toString('hex'),
      STREAMER_KEY_PREFIX: `tests-${randomBytes(6).toString('hex')}:`,
      ...settings,
    };
  }

  /** Closers run in reverse order. */
  atClose(closer) {
    this.#closers.push(closer);
  }

  async close() {
    const failures = [];
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /**
   * Starts a broker. All brokers of a fixture are nodes of one installation: same store, same keys.
   */
  async broker(settings = {}) {
    const url = this.store === 'redis' ? (await this.redis()).url : 'memory:';
    const broker = await startBroker(this.folder, {
      STREAMER_REDIS_URL: url,
      ...this.#settings,
      ...settings,
    });
    this.atClose(() => broker.kill());
    return broker;
  }

  redis() {
    return (this.#redis ??= this.#startRedis());
  }

  async #startRedis() {
    const redis = await startRedis(this.folder);
    this.atClose(() => redis.kill());
    return redis;
  }

  /** Starts a proxy. */
  async listen(proxy) {
    await proxy.listen();
    this.atClose(() => proxy.close());
    return proxy;
  }
}
