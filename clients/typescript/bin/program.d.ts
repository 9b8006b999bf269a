/** The path of the broker's program. Throws where it is not installed. */
export function program(): string;
