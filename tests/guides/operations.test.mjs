// docs/operations

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { kill, start, until } from '../support/processes.mjs';
import { blocksOf, root } from './blocks.mjs';
import { assertLike } from './examples.mjs';
import { describePage, drawn, elsewhere, runs } from './harness.mjs';

const needs = (what) => `needs ${what}, which tests do not have`;

describePage(
  'operations/deploy.md',
  elsewhere('sh', needs('Docker'), 2),
  elsewhere('sh', needs('a cluster; deploy/check-kubernetes.py compares the Secret'), 2),
  elsewhere('yaml', 'deploy/check.sh builds it with kubectl kustomize'),
  elsewhere('sh', needs('root and systemd; deploy/check.sh checks the unit')),
  drawn('nginx or load balancer'),
);

describePage(
  'operations/monitoring.md',
  runs('yaml', 'the job has the name that the alert rules expect', async (reader, text) => {
    const [, job] = /^ *- job_name: (\S+)$/m.exec(text);
    const alerts = readFileSync(path.join(root, 'deploy/prometheus/alerts.yml'), 'utf8');
    assert.deepEqual([...new Set(alerts.match(/job="[^"]*"/g))], [`job="${job}"`]);
  }),
  runs('sh', 'lists who is connected', async (reader, text) => {
    await follow(reader);
    const [{ keys, transport }] = JSON.parse(await reader.shell(text));
    assert.deepEqual({ keys, transport }, { keys: ['chat-1'], transport: 'sse' });
  }),
  runs('json', 'a subscriber in the list', async (reader, text) => {
    const documented = JSON.parse(text);
    const [{ name, tags }] = documented;
    await follow(reader, { client_name: name, tags: tags.join(',') });
    const varying = ['events', 'bytes'];
    assertLike(documented, await reader.broker.call('/clients?key=chat-1'), varying);
  }),
  runs('sh', 'disconnects a subscriber', async (reader, text) => {
    const response = await follow(reader);
    const [{ id }] = await reader.broker.call('/clients?key=chat-1');
    assert.match(text, /\/5f0c2a9be1d34c77$/m);
    await reader.shell(text.replace('5f0c2a9be1d34c77', id));
    assert.doesNotMatch(await response.text(), /event: end/);
    assert.deepEqual(await reader.broker.call('/clients?key=chat-1'), []);
  }),
  runs('json', 'a line of the log', async (reader, text) => {
    let log = '';
    reader.broker.child.stderr.on('data', (chunk) => (log += chunk));
    const token = await reader.tokenFor(['chat-1']);
    const response = await reader.request('/client/sse?key=chat-1', { token });
    assert.equal(response.status, 404);
    const [line] = await until(() => /^.*"answered".*(?=\n)/m.exec(log), 'a line of the log');
    assertLike(withoutMicroseconds(JSON.parse(text)), withoutMicroseconds(JSON.parse(line)), [
      'ms',
    ]);
  }),
  elsewhere('sh', 'make test-otlp builds this broker, and reads its traces'),
);

/** Follows the stream chat-1 until the broker has listed the subscriber. */
async function follow(reader, options = {}) {
  const { token } = await reader.broker.stream('chat-1');
  const query = new URLSearchParams({ key: 'chat-1', ...options });
  const response = await reader.request(`/client/sse?${query}`, { token });
  assert.equal(response.status, 200);
  const listed = async () => (await reader.broker.call('/clients?key=chat-1'))[0]?.events > 0;
  await until(listed, 'the subscriber is in the list, and has an event');
  return response;
}

const withoutMicroseconds = ({ timestamp, ...line }) => {
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  return line;
};

describePage(
  'operations/redis.md',
  runs('text', 'the broker has nothing to say about such a server', async (reader) => {
    await checkRedis(reader, 'tinistreamer check');
  }),
  runs('sh', 'check tries an address', async (reader, text) => {
    assert.match(text, /redis:\/\/user:password@host:6379\/0/);
    await checkRedis(reader, text);
  }),
  elsewhere('text', 'api/tests/suite/redis_refusals/rights.rs gives a user these rights'),
  elsewhere(
    'text',
    'an address; api/tests/suite/common/sentinel.rs starts brokers with such a one',
  ),
  elsewhere('text', 'an address; api/tests/suite/common/cluster.rs starts brokers with such a one'),
);

/** Starts Redis with the settings of the page, and runs a command that checks it. */
async function checkRedis(reader, command) {
  const [{ text }] = blocksOf('operations/redis.md');
  const socket = path.join(reader.folder, 'redis.sock');
  const file = path.join(reader.folder, 'redis.conf');
  writeFileSync(file, `${text}port 0\nunixsocket ${socket}\n`);
  const server = start('redis-server', [file], { cwd: reader.folder, stdio: 'ignore' });
  reader.fixture.atClose(() => kill(server));
  const url = `unix://${socket}`;
  const environment = { STREAMER_SECRET_KEY: '0'.repeat(64), STREAMER_REDIS_URL: url };
  const commands = command.replace('redis://user:password@host:6379/0', url);
  const answers = () => reader.shell(`redis-cli -s ${socket} ping`).catch(() => false);
  await until(answers, 'Redis answers');
  const good = 'The settings are good, and the redis store answers.\n';
  assert.equal(await reader.shell(`${commands} 2>&1`, environment), good);
}

describePage(
  'operations/reliability.md',
  elsewhere('sh', 'takes minutes: make test-faults runs it'),
);
