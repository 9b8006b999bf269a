// The events of the twenty streams. A source's `play` yields events, each with the pause after it
// in ms. When it returns, its stream ends, and the source is played again in another stream.

const between = (low, high) => low + Math.random() * (high - low);
const oneOf = (list) => list[Math.floor(Math.random() * list.length)];

/**
 * A value that changes between 0 and `top`: a `number` every `interval` ms, and an `alert` when it
 * rises above nine tenths.
 */
function meter(slug, name, unit, top, interval) {
  return {
    slug,
    name,
    kind: 'meter',
    unit,
    *play() {
      const limit = 0.9 * top;
      let value = between(0.3, 0.7) * top;
      for (;;) {
        const before = value;
        value += between(-0.09, 0.09) * top + (0.5 * top - value) * 0.04;
        value = Math.min(top, Math.max(0, value));
        const shown = value.toFixed(top < 20 ? 1 : 0);
        yield { event: 'number', data: shown, pause: interval };
        if (before <= limit && value > limit)
          yield { event: 'alert', data: `${shown} over ${limit.toFixed(0)}`, pause: interval };
      }
    },
  };
}

/** An answer: a `token` every `interval` ms, after a pause in which its stream does not exist. */
function answer(slug, name, interval) {
  return {
    slug,
    name,
    kind: 'answer',
    rest: () => between(3_000, 16_000),
    *play() {
      for (const word of `${oneOf(TEXTS)} ${oneOf(TEXTS)}`.split(/(?<= )/))
        yield { event: 'token', data: word, pause: between(0.5, 1.5) * interval };
    },
  };
}

/** A log: an `alert` every few seconds. */
function log(slug, name, lines) {
  return {
    slug,
    name,
    kind: 'log',
    *play() {
      for (;;) yield { event: 'alert', data: oneOf(lines), pause: between(2_000, 9_000) };
    },
  };
}

const TEXTS = [
  'A stream keeps what it was given, in order. A reader that comes late starts at its first event, and one that was cut off goes on after its last event. Nothing comes twice, and nothing is left out.',
  'Six connections are all that a browser opens to one host over HTTP/1.1. Twenty streams over one of them leave five for everything else, and the page still knows the place that it has reached in each.',
  'The id of every frame names a place in all of the streams at once. When the line breaks, the browser sends that one id back, and the broker goes on in twenty places, each exactly where it was.',
  'Tea came to most of the world by two roads. By sea it was bought in Fujian, where it is called te; by land it came as cha. Most languages still use the word of the road that it took to them.',
];

export const sources = [
  meter('gpu-0', 'GPU 0', '%', 100, 250),
  meter('gpu-1', 'GPU 1', '%', 100, 400),
  meter('gpu-2', 'GPU 2', '%', 100, 650),
  meter('gpu-3', 'GPU 3', '%', 100, 900),
  answer('planner', 'Planner', 130),
  meter('tokens', 'Tokens', '/ s', 900, 200),
  meter('latency', 'First token', 'ms', 600, 300),
  meter('requests', 'Requests', '/ s', 240, 500),
  log('deployments', 'Deployments', [
    'web rolled out to all nodes',
    'api restarted: new settings',
    'worker rolled back: too slow',
    'batch is up to date',
  ]),
  answer('researcher', 'Researcher', 90),
  meter('queue', 'Queue', 'jobs', 60, 700),
  meter('cache', 'Cache hits', '%', 100, 1_100),
  meter('power', 'Power', 'kW', 12, 1_500),
  answer('reviewer', 'Reviewer', 180),
  log('security', 'Security', [
    'a key was rotated',
    'five wrong passwords: account locked',
    'sign-in from a new country',
    'a certificate ends in 14 days',
  ]),
  meter('memory', 'Memory', 'GB', 512, 1_900),
  answer('translator', 'Translator', 110),
  meter('network', 'Network', 'MB/s', 800, 350),
  log('billing', 'Billing', [
    'a card was declined',
    'team 42 is at 80 % of its budget',
    'an invoice is overdue',
    'team 7 has used its budget',
  ]),
  answer('summary', 'Summary', 70),
];
