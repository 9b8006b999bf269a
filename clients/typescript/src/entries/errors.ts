/**
 * An entry of a stream can't be stored or read.
 *
 * * `entry-too-large`: it has more than 16 Mi characters.
 * * `foreign-events`: somebody else writes into the stream, so that positions can't be known.
 */
export class EntryError extends Error {
  override readonly name = "EntryError";
  readonly code: "entry-too-large" | "foreign-events";

  constructor(code: EntryError["code"], message: string) {
    super(message);
    this.code = code;
  }
}
