// Elements of the page. Text that comes from the server is set as text, whatever it holds.

export function element(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value !== false) made.setAttribute(key, value);
  }
  made.append(...content);
  return made;
}

// Changes a text only if it differs, so that what a reader has marked stays marked.
export function setText(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function describe(list, entries) {
  if (list.children.length !== entries.length) {
    list.replaceChildren(...entries.map(() => element('div', {}, element('dt'), element('dd'))));
  }
  entries.forEach(([name, value], at) => {
    const [term, description] = list.children[at].children;
    setText(term, name);
    setText(description, value);
  });
}

// A table whose rows stay the same elements while their key is the same, so that an update takes nobody's focus.
// `columns` has for each the heading, a function from an item to its text or element, and whether it is a number.
// The roles are named because a narrow screen shows the rows as blocks.
export class Table {
  #place;
  #rows = new Map();

  constructor(place) {
    this.#place = place;
  }

  // Has the next update build everything anew: the language is another one.
  forget() {
    this.#rows.clear();
    this.#place.replaceChildren();
  }

  show(label, columns, items, keyOf, empty) {
    if (!items.length) {
      this.#rows.clear();
      if (this.#place.firstChild?.nodeName !== 'P') this.#place.replaceChildren(element('p'));
      setText(this.#place.firstChild, empty);
      return;
    }
    let body = this.#place.querySelector('tbody');
    if (!body || this.#place.dataset.columns !== String(columns.length)) {
      this.#rows.clear();
      body = element('tbody', { role: 'rowgroup' });
      const cells = columns.map(([heading, , isNumber]) =>
        element('th', { scope: 'col', role: 'columnheader', class: isNumber ? 'number' : '' }, heading));
      const head = element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...cells));
      this.#place.replaceChildren(element('table', { role: 'table', 'aria-label': label }, head, body));
      this.#place.dataset.columns = columns.length;
    }
    const keys = new Set();
    for (const item of items) {
      const key = keyOf(item);
      keys.add(key);
      let row = this.#rows.get(key);
      if (!row) {
        row = element('tr', { role: 'row' }, ...columns.map(([heading, , isNumber]) =>
          element('td', { role: 'cell', 'data-label': heading, class: isNumber ? 'number' : '' })));
        this.#rows.set(key, row);
      }
      columns.forEach(([, show], at) => {
        const value = show(item);
        const cell = row.children[at];
        if (typeof value === 'string') setText(cell, value);
        else if (!cell.firstChild) cell.append(value);
      });
    }
    for (const [key, row] of this.#rows) {
      if (!keys.has(key)) {
        row.remove();
        this.#rows.delete(key);
      }
    }
    items.forEach((item, at) => {
      const row = this.#rows.get(keyOf(item));
      // Moving an element takes its focus.
      if (body.children[at] !== row && !row.contains(document.activeElement)) body.insertBefore(row, body.children[at] ?? null);
    });
  }
}
