/**
 * The position of an event: a known id at or before it, and how many events later it is. Its text
 * is `<milliseconds>-<number>`, or `<milliseconds>-<number>+<distance>`.
 */
export interface Position {
  /** The id that is known. */
  id: string;
  /** The number of the event in its stream, from 0. */
  number: number;
}

/** A position in one stream and no other. Its text is `<generation>:<position>`. */
export interface Place {
  /** The generation of the stream. */
  generation: string;
  position: Position;
}

/** The position of the event with this id. */
export function positionOf(id: string): Position {
  return { id, number: numberOf(id) };
}

/** The text of a place. */
export function placeText({ generation, position: { id, number } }: Place): string {
  const distance = number - numberOf(id);
  return `${generation}:${distance === 0 ? id : `${id}+${distance}`}`;
}

/** Parses the text of a place. Undefined when it is none. */
export function parsePlace(text: string): Place | undefined {
  const pattern = /^([0-9a-f]{32}):(\d+-(\d+))(?:\+(\d+))?$/;
  const [, generation, id, number, distance = "0"] = pattern.exec(text) ?? [];
  const sum = Number(number) + Number(distance);
  if (generation === undefined || id === undefined || !Number.isSafeInteger(sum)) return undefined;
  return { generation, position: { id, number: sum } };
}

/** The number of the event with this id. */
export function numberOf(id: string): number {
  return Number(id.slice(id.indexOf("-") + 1));
}
