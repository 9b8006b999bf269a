import { fakeModel } from './fake.mjs';
import { openAiModel } from './openai.mjs';

export { ModelError } from './error.mjs';

/**
 * The model of the environment variables: `{ name, answer }`, where `answer(question, signal)`
 * yields tokens. Without both a key and an address it is the fake model. So a key that happens to
 * be in the environment does not cause costs.
 */
export function modelFromEnvironment({
  OPENAI_API_KEY: apiKey,
  OPENAI_BASE_URL: baseUrl,
  OPENAI_MODEL: model,
}) {
  if (!apiKey || !baseUrl) return { name: 'a fake one, built in', answer: fakeModel };
  if (!model)
    throw new Error(
      'OPENAI_MODEL must name a model, as OPENAI_API_KEY and OPENAI_BASE_URL are set',
    );
  return { name: `${model} at ${baseUrl}`, answer: openAiModel({ baseUrl, apiKey, model }) };
}
