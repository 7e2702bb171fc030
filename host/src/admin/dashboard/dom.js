// Small helpers for the DOM. Text goes in by textContent only: it comes from untrusted guests.

const SVG = 'http://www.w3.org/2000/svg';

/** Makes an element: `el('p', { class: 'x', text: 'y', onclick }, child, ...)`. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'text') node.textContent = value;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else attribute(node, name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets the text of `node`, if it is another one. */
export function set(node, text) {
  const value = String(text ?? '');
  if (node.textContent !== value) node.textContent = value;
}

/** Sets an attribute, if it is another one; `false`, `null` and `undefined` remove it. */
export function attribute(node, name, value) {
  if (value === false || value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value === true ? '' : value);
}

/** Brings the children of `parent` in line with `items`, in place: a node per key is made once, then updated. */
export function keyed(parent, items, key, make, update = () => {}) {
  const nodes = (parent.wharfNodes ??= new Map());
  const gone = new Set(nodes.keys());
  let before = null;
  for (const item of items) {
    const id = key(item);
    let node = nodes.get(id);
    if (!node) nodes.set(id, node = make(item));
    gone.delete(id);
    update(node, item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    before = node;
  }
  for (const id of gone) {
    const node = nodes.get(id);
    const focused = node.contains(document.activeElement);
    node.remove();
    nodes.delete(id);
    if (focused) parent.closest?.('[tabindex]')?.focus(); // so that the keyboard keeps its place
  }
}

/** An element by its id. */
export const byId = (id) => document.getElementById(id);
