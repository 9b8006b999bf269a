/** The model failed. `message` is for the person who asked the question. */
export class ModelError extends Error {
  name = 'ModelError';
}
