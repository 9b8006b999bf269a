/**
 * Shows growing Markdown, in the small part of the syntax that models use most. The signs stay in
 * the document, where the style sheet hides some. So the document's text is exactly the stream's
 * text. It creates only text nodes: a model can't write HTML into the page.
 */
export class GrowingText {
  #root;
  #line;
  #text = '';
  #fenced = false;

  constructor(root) {
    this.#root = root;
    root.replaceChildren();
  }

  append(text) {
    const [first, ...more] = text.split('\n');
    this.#grow(first);
    for (const next of more) {
      this.#grow('\n');
      if (this.#text.startsWith('```')) this.#fenced = !this.#fenced;
      this.#line = undefined;
      this.#grow(next);
    }
  }

  #grow(text) {
    if (text === '') return;
    if (!this.#line) {
      this.#line = element('div', '');
      this.#line.dir = 'auto';
      this.#text = '';
      this.#root.append(this.#line);
    }
    this.#text += text;
    const { kind, sign } = kindOf(this.#text, this.#fenced);
    this.#line.className = kind;
    const rest = this.#text.slice(sign.length);
    this.#line.replaceChildren(
      ...(sign ? [element('i', sign)] : []),
      ...(kind === 'code' ? [rest] : inline(rest)),
    );
  }
}

/** The kind of a line, and the sign at its start. */
function kindOf(line, fenced) {
  if (line.startsWith('```')) return { kind: 'code', sign: line };
  if (fenced) return { kind: 'code', sign: '' };
  const [sign, heading, item, quote] = /^(?:(#{1,4} )|((?:[-*]|\d+\.) )|(> ))/.exec(line) ?? [''];
  return { kind: heading ? 'heading' : item ? 'item' : quote ? 'quote' : 'plain', sign };
}

const TAGS = { '**': 'strong', '*': 'em', '`': 'code' };

function inline(text) {
  const nodes = [];
  let from = 0;
  for (const { 0: whole, 1: sign, 2: content, index } of text.matchAll(
    /(\*\*|\*|`)(?! )(.+?)\1/g,
  )) {
    nodes.push(text.slice(from, index), pair(sign), element(TAGS[sign], content), pair(sign));
    from = index + whole.length;
  }
  return [...nodes, text.slice(from)];
}

function pair(sign) {
  const made = element('i', sign);
  made.className = 'pair';
  return made;
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
