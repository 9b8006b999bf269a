// Starts only the backend, for a running broker. TINISTREAMER_URL and TINISTREAMER_API_KEY name it.

import { startBackend } from './backend.mjs';
import { modelFromEnvironment } from './models/index.mjs';

const { TINISTREAMER_URL: brokerUrl, TINISTREAMER_API_KEY: apiKey, PORT = '3000' } = process.env;
try {
  if (!brokerUrl || !apiKey)
    throw new Error(
      'Set TINISTREAMER_URL and TINISTREAMER_API_KEY; or run start.mjs, which starts a broker, too',
    );
  const model = modelFromEnvironment(process.env);
  const backend = await startBackend({
    brokerUrl,
    apiKey,
    model: model.answer,
    port: Number(PORT),
  });
  console.log(`The model is ${model.name}. Open ${backend.url}`);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => backend.close());
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
