// The line between an application under test and its broker, which tests can cut.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A proxy before a broker, on the loopback address. */
export class Line {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #target = 0;
  #isUnplugged = false;

  private constructor() {
    this.#server = createServer((socket) => this.#pass(socket));
  }

  /** A line that leads nowhere yet. */
  static async start(): Promise<Line> {
    const line = new Line();
    await once(line.#server.listen(0, "127.0.0.1"), "listening");
    return line;
  }

  /** The port that it listens on. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Leads all connections from now on to this port. */
  leadTo(port: number): void {
    this.#target = port;
  }

  #pass(socket: Socket): void {
    if (this.#isUnplugged) {
      socket.destroy();
      return;
    }
    const broker = connect(this.#target, "127.0.0.1");
    for (const [from, to] of [
      [socket, broker],
      [broker, socket],
    ] as const) {
      this.#open.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }

  /** Breaks all connections that are open. New ones work. */
  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** Breaks all connections, and refuses new ones until {@link plug}. */
  unplug(): void {
    this.#isUnplugged = true;
    this.cut();
  }

  /** Connections work again. */
  plug(): void {
    this.#isUnplugged = false;
  }

  /** Breaks all connections, and listens no more. */
  async close(): Promise<void> {
    this.unplug();
    this.#server.close();
    await once(this.#server, "close");
  }
}
