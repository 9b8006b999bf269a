/** The model failed; `message` is for the person who asked. */
export class ModelError extends Error {
  name = 'ModelError';
}
