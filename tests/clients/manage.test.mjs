// Management: each call returns what the OpenAPI document describes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { AWKWARD_KEY } from './events.mjs';
import { scenario, STORES } from './harness.mjs';

const document = JSON.parse(readFileSync(new URL('../../spec/openapi.json', import.meta.url)));
// Not strict, because it does not know `example` and other members of an OpenAPI document.
const ajv = new Ajv2020({ strict: false, formats: { int64: true } });
ajv.addSchema(document, 'openapi');

const METHODS = ['get', 'post', 'delete'];
const operations = Object.fromEntries(
  Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [
      item[method].operationId,
      { path, method },
    ]),
  ),
);

/** Fails unless the value is what the document describes for the operation's response. */
function assertDocumented(operation, value) {
  const { path, method } = operations[operation];
  const pointer = [
    'paths',
    path,
    method,
    'responses',
    '200',
    'content',
    'application/json',
    'schema',
  ];
  const reference = pointer
    .map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
    .join('/');
  const valid = ajv.validate({ $ref: `openapi#/${reference}` }, value);
  assert.ok(valid, `${operation}: ${ajv.errorsText()} in ${JSON.stringify(value)}`);
}

class Manager {
  constructor(agent) {
    this.agent = agent;
  }

  async #result(call, args) {
    const expected = this.agent.answers.length + 1;
    this.agent.send({ call, args });
    await this.agent.until(() => this.agent.answers.length === expected, `the result of ${call}`);
    return this.agent.answers.at(-1);
  }

  /** The value of a successful call. */
  async call(name, args = {}) {
    const answer = await this.#result(name, args);
    assert.equal(answer.type, 'result', `${name}: ${JSON.stringify(answer)}`);
    return answer.value;
  }

  /** The status and code of an error. */
  async failure(name, args = {}) {
    const { type, status, code, message } = await this.#result(name, args);
    assert.equal(type, 'failed', name);
    assert.ok(message);
    return { status, code };
  }
}

scenario(
  'every call returns what the OpenAPI document describes',
  { store: STORES },
  async ({ client, store, fixture }) => {
    const broker = await fixture.broker();
    const manager = new Manager(fixture.manage(client, broker));
    const key = AWKWARD_KEY;
    const call = async (name, args) => {
      const value = await manager.call(name, args);
      assertDocumented(name, value);
      return value;
    };
    await manager.call('ready');
    const { store: kind } = await call('broker_info');
    assert.equal(kind, store === 'memory' ? 'memory' : 'redis');

    const access = await call('create_stream', { key, ttl: 60, max_events: 1_000 });
    assert.deepEqual(new URL(access.sse_url).searchParams.get('key'), key);
    const { token } = await call('issue_token', { key, ttl: 30 });
    assert.notEqual(token, access.token);
    const events = [
      { event: 'one' },
      { event: 'two', data: 'ü\n🦀' },
      { event: 'three', data: { a: [1, null] } },
    ];
    const added = await call('add_events', { key, events });
    assert.equal(added.num_events, 3);
    const sequence = { key, events: events.slice(0, 2), producer: 'a-producer', sequence: 0 };
    assert.equal((await call('add_events', sequence)).num_duplicates, 0);
    assert.deepEqual(await call('add_events', sequence), {
      ids: [],
      num_events: 0,
      num_duplicates: 2,
    });

    const state = await call('stream_info', { key });
    assert.deepEqual([state.key, state.status, state.length], [key, 'active', 6]);
    assert.deepEqual(await call('stream_events', { key }), await broker.events(key));
    await call('create_stream', { key: 'other' });
    assert.deepEqual(
      (await call('list_streams')).map((row) => row.key).toSorted(),
      [key, 'other'].toSorted(),
    );
    assert.deepEqual(
      (await call('list_streams', { pattern: 'oth*' })).map((row) => row.key),
      ['other'],
    );
    assert.deepEqual(await call('list_streams', { pattern: 'none' }), []);

    const keys = [key, 'other'];
    const several = await call('issue_token', { keys });
    assert.deepEqual(new URL(several.sse_url).searchParams.getAll('key'), keys);
    const later = await call('issue_token', { keys: ['later'], wait: true });
    assert.deepEqual(new URL(later.ws_url).searchParams.getAll('key'), ['later']);
    const all = await call('issue_token', { prefix: key.slice(0, 4), ttl: 20 });
    assert.ok(!new URL(all.sse_url).searchParams.has('key'));
    assert.deepEqual(await call('list_clients'), []);
    const subscriber = fixture.subscribeMany(client, 'ws', keys, several.token, broker);
    await subscriber.until(() => subscriber.events.length === 7, 'both streams');
    assert.deepEqual(await call('list_clients', { tag: 'none' }), []);
    const [{ id, keys: followed }] = await call('list_clients', { key: 'other' });
    assert.deepEqual(followed.toSorted(), keys.toSorted());
    await call('disconnect_client', { id });
    assert.equal((await subscriber.over()).code, 'disconnected-by-operator');

    assert.deepEqual(await call('end_stream', { key }), { status: 'ended' });
    assert.deepEqual(await call('cancel_stream', { key: 'other' }), { status: 'cancelled' });
    assert.equal((await call('stream_info', { key: 'other' })).status, 'cancelled');
    // A stream that is finished already has the status that it has.
    assert.deepEqual(await call('fail_stream', { key: 'other' }), { status: 'cancelled' });

    const attach = { key: 'failing', if_exists: 'attach' };
    const { generation, created } = await call('create_stream', attach);
    const attached = await call('create_stream', attach);
    assert.deepEqual([created, attached.created], [true, false]);
    assert.equal(attached.generation, generation);
    const steer = { key: 'failing', name: 'steer', data: { to: [1, 'é'] }, id: 's-1', generation };
    assert.deepEqual(await call('send_signal', steer), { seq: 1 });
    assert.deepEqual(await call('send_signal', steer), { seq: 1 });
    assert.deepEqual(await call('send_signal', { key: 'failing', name: 'stop' }), { seq: 2 });
    const sent = await call('read_signals', { key: 'failing' });
    assert.deepEqual([sent.generation, sent.stream_status], [generation, 'active']);
    const [{ time, ...first }, stop] = sent.signals;
    const { name, data } = steer;
    assert.deepEqual(first, { seq: 1, name, data, id: 's-1', by: 'api-key' });
    const rest = await call('read_signals', { key: 'failing', after: 1 });
    assert.deepEqual(rest.signals, [stop]);
    assert.equal((await call('stream_info', { key: 'failing' })).stop_requested_at, stop.time);

    const { stop_expires_at: deadline } = await call('renew_stream', { key: 'failing' });
    const renewed = await call('renew_stream', { key: 'failing', generation, stop_ack: true });
    assert.ok(Date.parse(renewed.stop_expires_at) >= Date.parse(deadline));

    // What the producer promises, from the beginning or from a renewal on.
    const promised = async (key) => {
      const info = await call('stream_info', { key });
      const times = [info.lease_expires_at, info.stall_expires_at];
      // Some languages leave out a member that is null.
      return times.map((at) => (at ? Date.parse(at) > Date.now() : null));
    };
    await call('create_stream', { key: 'leased', lease: 60 });
    assert.deepEqual(await promised('leased'), [true, null]);
    const longer = await call('renew_stream', { key: 'leased', lease: 90, stall: 120 });
    assert.ok(Date.parse(longer.stall_expires_at) > Date.parse(longer.lease_expires_at));
    assert.deepEqual(await promised('leased'), [true, true]);
    const freed = await call('renew_stream', { key: 'leased', lease: 0, stall: 0 });
    assert.ok(!freed.lease_expires_at && !freed.stall_expires_at);

    // A token that permits something else than to read, and says for whom it is.
    const permissions = ['read', 'signal'];
    const grant = { permissions, subject: 'user-7' };
    const signaller = await call('issue_token', { key: 'failing', ...grant });
    await call('create_stream', { ...attach, ...grant });
    const url = `${broker.url}/api/client/signal?key=failing`;
    const headers = { authorization: `Bearer ${signaller.token}` };
    const byToken = await fetch(url, { method: 'POST', headers, body: '{"name":"approve"}' });
    assert.deepEqual(await byToken.json(), { seq: 3 });
    const last = await call('read_signals', { key: 'failing', after: 2 });
    assert.equal(last.signals[0].by, 'user-7');
    assert.ok(Date.parse(time) > 0);
    const failure = { code: 'model-overloaded', message: 'Too much' };
    const args = { key: 'failing', generation, ...failure };
    assert.deepEqual(await call('fail_stream', args), { status: 'failed' });
    const { reason, status } = await call('stream_info', { key: 'failing' });
    assert.deepEqual([status, reason], ['failed', failure]);
    manager.agent.closeInput();
    await manager.agent.over();
  },
);

scenario('an error has the status and the code of the broker', {}, async ({ client, fixture }) => {
  const broker = await fixture.broker({ STREAMER_MAX_BATCH: '2' });
  const manager = new Manager(fixture.manage(client, broker));
  await manager.call('create_stream', { key: 'taken' });
  const events = [{ event: 'token' }];
  const expected = [
    ['create_stream', { key: 'taken' }, 400, 'existing-stream'],
    ['create_stream', { key: '' }, 400, 'invalid-key'],
    ['create_stream', { key: 'long', ttl: 604_801 }, 400, 'invalid-request'],
    ['issue_token', { key: 'unknown' }, 404, 'no-active-stream'],
    ['issue_token', { keys: ['taken', 'unknown'] }, 404, 'no-active-stream'],
    ['disconnect_client', { id: 'unknown' }, 404, 'client-not-found'],
    ['list_streams', { pattern: '[' }, 400, 'invalid-pattern'],
    ['stream_info', { key: 'unknown' }, 404, 'stream-not-found'],
    ['stream_events', { key: 'unknown' }, 404, 'stream-not-found'],
    ['end_stream', { key: 'unknown' }, 404, 'no-active-stream'],
    ['cancel_stream', { key: 'unknown' }, 404, 'no-active-stream'],
    ['fail_stream', { key: 'unknown' }, 404, 'no-active-stream'],
    ['fail_stream', { key: 'taken', code: 'Not a word' }, 400, 'invalid-request'],
    ['fail_stream', { key: 'taken', generation: '0'.repeat(32) }, 409, 'stale-generation'],
    ['create_stream', { key: 'taken', request_id: '' }, 400, 'invalid-request'],
    ['send_signal', { key: 'unknown', name: 'stop' }, 404, 'no-active-stream'],
    ['send_signal', { key: 'taken', name: 'Not a word' }, 400, 'invalid-request'],
    ['read_signals', { key: 'unknown' }, 404, 'stream-not-found'],
    ['renew_stream', { key: 'unknown' }, 404, 'no-active-stream'],
    ['create_stream', { key: 'long', stop_grace: 86_401 }, 400, 'invalid-request'],
    ['create_stream', { key: 'long', lease: 1 }, 400, 'invalid-request'],
    ['renew_stream', { key: 'taken', stall: 1 }, 400, 'invalid-request'],
    ['add_events', { key: 'unknown', events }, 404, 'no-active-stream'],
    ['add_events', { key: 'taken', events: [{ event: 'start' }] }, 400, 'reserved-event'],
    ['add_events', { key: 'taken', events: [{ event: '' }] }, 400, 'invalid-event'],
    [
      'add_events',
      { key: 'taken', events: [...events, ...events, ...events] },
      413,
      'too-many-events',
    ],
    [
      'add_events',
      { key: 'taken', events, producer: 'a-producer', sequence: 5 },
      409,
      'sequence-gap',
    ],
  ];
  for (const [name, args, status, code] of expected)
    assert.deepEqual(
      await manager.failure(name, args),
      { status, code },
      `${name} ${JSON.stringify(args)}`,
    );
  manager.agent.closeInput();
  await manager.agent.over();

  const stranger = new Manager(fixture.manage(client, broker, { api_key: 'not the right one' }));
  assert.deepEqual(await stranger.failure('broker_info'), { status: 401, code: 'unauthorized' });
});

scenario(
  'an unavailable store is an error, and so is an unreachable broker',
  { store: ['exclusive'] },
  async ({ client, fixture }) => {
    const broker = await fixture.broker({ STREAMER_REDIS_TIMEOUT: '1' });
    const manager = new Manager(fixture.manage(client, broker));
    await manager.call('ready');
    await (await fixture.redis()).kill();
    for (const name of ['ready', 'list_streams']) {
      assert.deepEqual(await manager.failure(name), { status: 503, code: 'store-unavailable' });
    }
    await broker.kill();
    const { code } = await manager.failure('broker_info');
    assert.equal(code, 'unreachable');
  },
);
