import { randomUUID } from 'node:crypto';
import { ModelError } from './models/index.mjs';

/**
 * More events than any answer has, so that a late reader gets all of it, for an hour after its last
 * token.
 */
const STREAM = { max_events: 50_000, ttl: 3600 };

/** Everybody with the address of an answer may read it and stop it. */
const TOKEN = { permissions: ['read', 'signal'] };

const keyOf = (id) => `chat-${id}`;

/** The data that a page needs to follow an answer. */
const accessTo = (id, { sse_url, token }) => ({ id, sse_url, token });

/** What pages learn about an error. Only a `ModelError` is for people. */
const failure = (error) =>
  error instanceof ModelError ? { code: 'model-error', message: error.message } : {};

/**
 * The answers of a model. Each is a stream at the broker. A page with its id can follow it from any
 * tab and at any time, and stop it. Any backend can issue tokens for it. Only the model's work is
 * tied to the process that got the question.
 */
export class Answers {
  #client;
  #model;
  #closing = new AbortController();
  #running = new Set();

  constructor(client, model) {
    this.#client = client;
    this.#model = model;
  }

  /** Starts the model. Resolves as soon as the answer can be followed. */
  async ask(question) {
    const id = randomUUID();
    const access = await this.#client.createStream(keyOf(id), { ...STREAM, ...TOKEN });
    const done = this.#write(keyOf(id), question).finally(() => this.#running.delete(done));
    this.#running.add(done);
    return accessTo(id, access);
  }

  /** Issues another token, for a later tab or after a token has expired. */
  async open(id) {
    return accessTo(id, await this.#client.issueToken(keyOf(id), TOKEN));
  }

  /** Stops all models of this process. Their answers fail as interrupted. */
  async close() {
    this.#closing.abort();
    await Promise.all(this.#running);
  }

  async #write(key, question) {
    const answer = async (writer) => {
      await writer.write('question', question);
      // The writer's signal is aborted when a page stops the answer.
      const signal = AbortSignal.any([writer.signal, this.#closing.signal]);
      await writer.pipeFrom(this.#model(question, signal), 'token');
    };
    try {
      await this.#client.publish(key, answer, { failure });
    } catch (error) {
      if (!this.#closing.signal.aborted) console.error(`${key}:`, error);
    }
  }
}
