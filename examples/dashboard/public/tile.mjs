import { CELLS, Ledger } from './ledger.mjs';

/** The number of values of a line, and of lines of a log. */
const VALUES = 60;
const LINES = 3;
/** The number of characters of an answer: more than a tile shows. */
const TEXT = 600;

const STATES = { waiting: 'Waiting', live: 'Live', ended: 'Ended', gone: 'Gone' };
const SVG = 'http://www.w3.org/2000/svg';

/** The tile of a source. The browser draws it once per frame, also after many events. */
export class Tile {
  ledger = new Ledger();
  state = 'waiting';
  #values = [];
  #text = '';
  #lines = [];
  #parts;

  constructor({ slug, name, kind, unit, run }) {
    Object.assign(this, { slug, kind, run });
    this.root = document.getElementById('tile').content.cloneNode(true).firstElementChild;
    this.root.dataset.slug = slug;
    this.root.dataset.kind = kind;
    const find = (selector) => this.root.querySelector(selector);
    find('h2').textContent = name;
    find('.strip').append(...Array.from({ length: CELLS }, () => document.createElement('i')));
    this.#parts = {
      state: find('.state'),
      ledger: find('.ledger'),
      cells: [...find('.strip').children],
      ...this.#body(find('.body'), unit),
    };
    this.draw();
  }

  /** Shows the source's next stream, which may not exist yet. */
  next(run) {
    this.run = run;
    this.state = 'waiting';
    this.#text = '';
    this.ledger.begin();
  }

  /** Whether nothing more comes of its stream. */
  get isOver() {
    return this.state === 'ended' || this.state === 'gone';
  }

  take(event, data) {
    this.state = event === 'end' || event === 'cancel' ? 'ended' : 'live';
    if (event === 'number') this.#values = [...this.#values, Number(data)].slice(-VALUES);
    if (event === 'token') this.#text = (this.#text + data).slice(-TEXT);
    if (event === 'alert') this.#lines = [...this.#lines, data].slice(-LINES);
  }

  draw() {
    const { state, ledger, cells, value, line, alert, text, log } = this.#parts;
    this.root.dataset.state = this.state;
    state.textContent = STATES[this.state];
    const { got, gaps, repeats, filtered } = this.ledger;
    ledger.textContent = `got ${got} · gaps ${gaps} · repeats ${repeats}${filtered ? ` filtered\u00a0${filtered}` : ''}`;
    ledger.classList.toggle('bad', gaps + repeats > 0);
    const free = CELLS - this.ledger.cells.length;
    cells.forEach((cell, i) => {
      cell.className = this.ledger.cells[i - free] ?? '';
    });
    if (this.kind === 'meter') {
      value.textContent = this.#values.at(-1) ?? '–';
      line.setAttribute('points', pointsOf(this.#values));
      alert.textContent = this.#lines.at(-1) ?? '';
    } else if (this.kind === 'answer') {
      text.textContent = this.#text;
    } else {
      log.replaceChildren(...this.#lines.toReversed().map((words) => element('li', words)));
    }
  }

  #body(body, unit) {
    if (this.kind === 'answer') {
      // The box shows the end of the text.
      const text = element('p');
      body.append(text);
      return { text };
    }
    if (this.kind === 'log') {
      const log = element('ol');
      body.append(log);
      return { log };
    }
    const value = element('strong');
    const figure = element('p');
    figure.append(value, ` ${unit}`);
    const picture = document.createElementNS(SVG, 'svg');
    const line = document.createElementNS(SVG, 'polyline');
    picture.setAttribute('viewBox', `0 0 ${VALUES - 1} 20`);
    picture.setAttribute('preserveAspectRatio', 'none');
    picture.setAttribute('aria-hidden', 'true');
    picture.append(line);
    const alert = element('p');
    alert.className = 'alert';
    body.append(figure, picture, alert);
    return { value, line, alert };
  }
}

function element(name, text = '') {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

/**
 * The points of a line between the least and the greatest value. The newest value is at the right.
 */
function pointsOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const height = (value) => (high > low ? 19 - (18 * (value - low)) / (high - low) : 10);
  return values
    .map((value, i) => `${VALUES - values.length + i},${height(value).toFixed(1)}`)
    .join(' ');
}
