// Events of every kind that a writer may get.

/** An event name of the greatest length, in bytes. */
const LONGEST_NAME = `${'n'.repeat(124)}🦀`;

export const AWKWARD_KEY = 'chat/1 & ünïcode?#%2F+🦀';

const STRINGS = [
  '',
  ' ',
  ' one leading space',
  '\tand a tab ',
  'LF\nin the middle',
  'CRLF\r\nin the middle',
  'CR\rin the middle',
  '\n',
  '\n\nat both ends\n',
  '\r\n\r\n',
  'id: 1-1\ndata: not a frame\n\nevent: x',
  ': no comment',
  'retry: 1',
  'NUL \u0000 and other controls \u0001\u001b\u007f\u0085',
  'line and paragraph separator \u2028 \u2029',
  '\ufeffbyte order mark \ufeff',
  'ünïcode, 漢字, العربية, e\u0301',
  '🦀👩‍👩‍👧‍👦🏳️‍🌈',
  '"quoted" \\ and \\n, \\u0041',
  '{"looks": "like JSON"}',
  'null',
  '</script>',
];

const VALUES = [
  null,
  true,
  false,
  0,
  -1.5,
  1e-7,
  [],
  {},
  ['a', { b: [null, 'ü\n🦀'] }],
  { nested: { deep: { down: [1, 2, 3] } } },
];

const NAMES = [
  'message',
  'token',
  ' leading space',
  'a: b',
  'open',
  'ünï 🦀',
  'starting',
  'END',
  LONGEST_NAME,
];

/** Events as `{ event, data? }`, the form that an agent takes. */
export const EVENTS = [
  { event: 'absent' },
  ...STRINGS.map((data) => ({ event: 'string', data })),
  ...VALUES.map((data) => ({ event: 'value', data })),
  ...NAMES.map((event) => ({ event, data: 'named' })),
  { event: 'long', data: 'x'.repeat(500_000) },
  { event: 'long line by line', data: '🦀\n'.repeat(100_000) },
  { event: 'after', data: 'all that' },
];

/** The event as the broker stores it: strings unchanged, other values as JSON, null as no data. */
export const asStored = ({ event, data = null }) => {
  if (data === null) return { event };
  return { event, data: typeof data === 'string' ? data : JSON.stringify(data) };
};
