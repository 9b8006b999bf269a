// Schemathesis makes valid and invalid requests from the OpenAPI document, and checks every
// response against it.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startBroker } from '../support/broker.mjs';
import { makeFolder, removeFolder, start } from '../support/processes.mjs';
import { startRedis } from '../support/redis.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const SCHEMATHESIS = path.join(here, '../../target/venv-openapi/bin/schemathesis');
const SEED = process.env.OPENAPI_SEED ?? '1';
const EXAMPLES = process.env.OPENAPI_EXAMPLES ?? '100';

const settings = {
  STREAMER_API_KEY: 'key-of-the-test',
  STREAMER_SECRET_KEY: '5a'.repeat(32),
  STREAMER_LOG: 'warn',
  STREAMER_REDIS_TIMEOUT: '1',
  // Small enough for generated requests to exceed them.
  STREAMER_MAX_BATCH: '3',
  STREAMER_MAX_LINE: '256',
};

let folder;
before(() => (folder = makeFolder()));
after(() => removeFolder(folder));

/** Creates the streams that schemathesis.toml names. Returns a token for two of them. */
async function makeStreams(broker) {
  for (const key of ['one', 'two', 'three/é', 'four&key=five', 'ending', 'failing', 'written'])
    await broker.stream(key);
  await broker.stream('renewed', { stop_grace: 0 });
  await broker.stream('signalled', { stop_grace: 0 });
  await broker.stream('followed');
  await broker.add('followed', [{ event: 'token', data: 'a\r\nb' }, { event: 'token' }]);
  // A finished stream, so that its response ends.
  await broker.end('followed');
  const keys = ['followed', 'signalled'];
  const permissions = ['read', 'signal'];
  const { token } = await broker.call('/stream/token', { keys, permissions });
  return token;
}

async function check(broker, token, store, args = []) {
  const env = {
    PATH: process.env.PATH,
    PYTHONDONTWRITEBYTECODE: '1',
    BROKER_URL: broker.url,
    API_KEY: broker.apiKey,
    CLIENT_TOKEN: token,
    STORE: store,
    MAX_LINE: settings.STREAMER_MAX_LINE,
    HOOKS: path.join(here, 'hooks.py'),
  };
  const run = [
    '--config-file',
    path.join(here, 'schemathesis.toml'),
    'run',
    path.join(here, '../../spec/openapi.json'),
  ];
  const schemathesis = start(SCHEMATHESIS, [...run, '--seed', SEED, ...args], {
    cwd: folder,
    env,
    stdio: 'inherit',
  });
  assert.deepEqual(await schemathesis.gone, { code: 0, signal: null });
}

async function brokerOver(t, url) {
  const broker = await startBroker(folder, { ...settings, STREAMER_REDIS_URL: url });
  t.after(() => broker.kill());
  return broker;
}

async function redisFor(t) {
  const redis = await startRedis(folder);
  t.after(() => redis.kill());
  return redis;
}

test('over the embedded store every response is as documented', async (t) => {
  const broker = await brokerOver(t, 'memory:');
  await check(broker, await makeStreams(broker), 'answers', ['--max-examples', EXAMPLES]);
});

test('over Redis every response is as documented', async (t) => {
  const broker = await brokerOver(t, (await redisFor(t)).url);
  await check(broker, await makeStreams(broker), 'answers', ['--max-examples', EXAMPLES]);
});

test('while Redis is unavailable every response is as documented', async (t) => {
  const redis = await redisFor(t);
  const broker = await brokerOver(t, redis.url);
  const token = await makeStreams(broker);
  await redis.kill();
  // Few requests, because most take as long as the broker's timeout for Redis.
  await check(broker, token, 'is away', [
    '--phases',
    'fuzzing',
    '--max-examples',
    '10',
    '--exclude-checks',
    'not_a_server_error',
  ]);
});
