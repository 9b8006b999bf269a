import { randomUUID } from 'node:crypto';
import { PublishError } from 'tinistreamer';
import { ModelError } from './models/index.mjs';

/**
 * More events than any answer has, so that a late reader gets all of it, for an hour after its last
 * token.
 */
const STREAM = { max_events: 50_000, ttl: 3600 };

const keyOf = (id) => `chat-${id}`;

/** The data that a page needs to follow an answer. */
const accessTo = (id, { sse_url, token }) => ({ id, sse_url, token });

/**
 * The answers of a model. Each is a stream at the broker. A page with its id can follow it from any
 * tab and at any time, and any backend can issue tokens for it or stop it. Only the model's work is
 * tied to the process that got the question.
 */
export class Answers {
  #client;
  #model;
  #running = new Map();

  constructor(client, model) {
    this.#client = client;
    this.#model = model;
  }

  /** Starts the model. Resolves as soon as the answer can be followed. */
  async ask(question) {
    const id = randomUUID();
    const access = await this.#client.createStream(keyOf(id), STREAM);
    const controller = new AbortController();
    const done = this.#write(keyOf(id), question, controller.signal).finally(() =>
      this.#running.delete(id),
    );
    this.#running.set(id, { controller, done });
    return accessTo(id, access);
  }

  /** Issues another token, for a later tab or after a token has expired. */
  async open(id) {
    return accessTo(id, await this.#client.issueToken(keyOf(id)));
  }

  /**
   * Stops the model, in this process or another one. Resolves with the answer's status. It is
   * `ended` if the answer was complete by then.
   */
  async stop(id) {
    const running = this.#running.get(id);
    if (running) {
      running.controller.abort();
      await running.done;
    } else {
      // A model of another backend fails at its next token, if it still writes.
      await this.#client.cancelStream(keyOf(id)).catch((error) => {
        if (error.code !== 'no-active-stream') throw error;
      });
    }
    const { status } = await this.#client.streamInfo(keyOf(id));
    return { status };
  }

  /** Stops all models of this process. */
  async close() {
    for (const { controller } of this.#running.values()) controller.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #write(key, question, signal) {
    try {
      // Finishes the stream when the function returns, and cancels it when the function throws.
      await this.#client.publish(key, async (writer) => {
        await writer.write('question', question);
        try {
          await writer.pipeFrom(this.#model(question, signal), 'token');
        } catch (error) {
          if (error instanceof ModelError) {
            await writer.write('error-note', error.message);
            await writer.flush();
          }
          throw error;
        }
      });
    } catch (error) {
      const stoppedHere = error.name === 'AbortError';
      const stoppedElsewhere = error instanceof PublishError && error.code === 'no-active-stream';
      if (!stoppedHere && !stoppedElsewhere) console.error(`${key}:`, error);
    }
  }
}
