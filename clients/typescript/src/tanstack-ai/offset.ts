import { type Place, parsePlace, placeText } from "../entries/position.js";
import { RunError } from "./errors.js";

/** A place in the log of a run. Only this package reads it. */
export type BrokerOffset = string & { readonly __offset: "tinistreamer" };

/** The offset of a chunk. */
export function offsetOf(place: Place): BrokerOffset {
  return placeText(place) as BrokerOffset;
}

/** Throws a `RunError` `invalid-offset` when the text is not an offset. */
export function parseOffset(offset: string): Place {
  const place = parsePlace(offset);
  if (place) return place;
  throw new RunError("invalid-offset", `Not an offset of a run: ${JSON.stringify(offset)}`);
}
