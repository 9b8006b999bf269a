/**
 * A name that nobody else has, of letters and digits. It is not a secret. Node 18 has no global
 * `crypto`.
 */
export function randomName(): string {
  const random = () => Math.random().toString(36).slice(2);
  return `${random()}${random()}`;
}
