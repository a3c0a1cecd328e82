// The language of a page: the one chosen here before, or the first of the browser's that there is.
const LANGUAGES = ['en', 'ru'];
const STORED = 'taciturn-language';

function preferred() {
  try {
    const stored = localStorage.getItem(STORED);
    if (LANGUAGES.includes(stored)) return stored;
  } catch {
    // The browser keeps nothing for this page.
  }
  return navigator.languages.map((one) => one.slice(0, 2)).find((one) => LANGUAGES.includes(one)) ?? 'en';
}

let language = preferred();

export const currentLanguage = () => language;

export function setLanguage(name) {
  language = name;
  try {
    localStorage.setItem(STORED, name);
  } catch {
    // It holds until the page is closed.
  }
}

// Makes the function that returns the text of a key, with each {name} replaced by its value. Under each key are the texts
// in the order of the languages.
export const inLanguage = (all) => (key, values = {}) =>
  all[key][LANGUAGES.indexOf(language)].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');

// Writes the texts that the HTML only names.
export function translate(text) {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll('[data-text]')) node.textContent = text(node.dataset.text);
}
