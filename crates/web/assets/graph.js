// Traffic of the last hour as SVG: one line to clients, one to peers.
import { text } from './words.js';

const NAMESPACE = 'http://www.w3.org/2000/svg';
const [HEIGHT, LEFT, TOP, BOTTOM] = [190, 78, 12, 24];
const RANGES = [600, 1800, 3600];

function element(name, attributes, content = '') {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = content;
  return made;
}

// The next number of the form 1, 2 or 5 times a power of ten.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function path(samples, value, most, x) {
  const y = (amount) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - amount / most);
  let line = '';
  let before = -Infinity;
  for (const sample of samples) {
    // A gap stays one: the server was not asked meanwhile.
    line += `${sample.at - before > 60 ? 'M' : 'L'}${x(sample.at).toFixed(1)} ${y(value(sample)).toFixed(1)}`;
    before = sample.at;
  }
  return line;
}

// `what` names it; `clients` and `peers` are the fields of a sample, `show` writes one of their values.
export function draw(place, samples, end, { what, clients, peers, show }) {
  if (!samples.length) {
    place.textContent = text('graphEmpty');
    return;
  }
  const peak = Math.max(...samples.flatMap((sample) => [sample[clients], sample[peers]]));
  const most = ceiling(Math.max(peak, 1));
  const last = samples.at(-1);
  const label = text('graph', { what, clients: show(last[clients]), peers: show(last[peers]), most: show(peak) });
  const width = Math.max(place.clientWidth, 240);
  // The first minutes of a server fill the graph as well.
  const range = RANGES.find((one) => one >= end - samples[0].at) ?? RANGES.at(-1);
  const x = (at) => LEFT + (width - LEFT) * (1 - (end - at) / range);
  const svg = element('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': label });
  for (const part of [0, 0.5, 1]) {
    const y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - part);
    svg.append(element('line', { class: 'grid', x1: LEFT, x2: width, y1: y, y2: y }));
    svg.append(element('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, show(most * part)));
  }
  for (const [part, anchor] of [[1, 'start'], [0.5, 'middle']]) {
    const ago = text('minutesAgo', { n: (range * part) / 60 });
    svg.append(element('text', { x: x(end - range * part), y: HEIGHT - 6, 'text-anchor': anchor }, ago));
  }
  svg.append(element('path', { class: 'to-clients', d: path(samples, (one) => one[clients], most, x) }));
  svg.append(element('path', { class: 'to-peers', d: path(samples, (one) => one[peers], most, x) }));
  place.replaceChildren(svg);
}
