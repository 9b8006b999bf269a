import { ModelError } from './error.mjs';

/**
 * A model behind an HTTP interface like OpenAI's. `baseUrl` is the URL before `/chat/completions`.
 *
 * @returns A function that yields the tokens of the answer to a question. It throws a `ModelError`
 * or the signal's reason.
 */
export function openAiModel({ baseUrl, apiKey, model }) {
  return async function* (question, signal) {
    try {
      const response = await fetch(`${baseUrl.replace(/\/+$/, '')}/chat/completions`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${apiKey}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({
          model,
          stream: true,
          messages: [{ role: 'user', content: question }],
        }),
        signal,
      });
      if (!response.ok)
        throw new ModelError(
          `The model's server answered ${response.status}: ${await reason(response)}`,
        );
      yield* tokens(response.body);
    } catch (error) {
      if (signal.aborted || error instanceof ModelError) throw error;
      throw new ModelError("The model can't be reached, or its answer broke off", { cause: error });
    }
  };
}

/** The tokens in the server-sent events of an answer. */
async function* tokens(body) {
  let finished = false;
  for await (const line of lines(body)) {
    // Each event is one line of data. Other lines are comments that keep the connection open.
    if (!line.startsWith('data:')) continue;
    const data = line.slice('data:'.length).trim();
    if (data === '[DONE]') return;
    const { choices, error } = JSON.parse(data);
    if (error) throw new ModelError(`The model failed: ${error.message}`);
    const choice = choices?.[0];
    if (choice?.delta?.content) yield choice.delta.content;
    finished ||= Boolean(choice?.finish_reason);
  }
  if (!finished) throw new ModelError("The model's answer broke off");
}

/** The complete lines. A line without an end was cut off. */
async function* lines(body) {
  let begun = '';
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const parts = (begun + chunk).split('\n');
    begun = parts.pop();
    yield* parts;
  }
}

async function reason(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    // Not every server has OpenAI's errors. The error of a proxy may be a whole page.
    return text.slice(0, 200) || response.statusText;
  }
}
