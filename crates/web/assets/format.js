// Numbers, times and sizes as people read them.
import { currentLanguage } from './language.js';

const UNITS = {
  en: { bits: ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'], bytes: ['B', 'kB', 'MB', 'GB', 'TB'], spans: ['s', 'min', 'h', 'd'] },
  ru: { bits: ['бит/с', 'кбит/с', 'Мбит/с', 'Гбит/с'], bytes: ['Б', 'кБ', 'МБ', 'ГБ', 'ТБ'], spans: ['с', 'мин', 'ч', 'д'] },
};

const units = () => UNITS[currentLanguage()];

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(currentLanguage(), { maximumFractionDigits: digits }).format(value);

function scaled(value, names) {
  let at = 0;
  while (value >= 1000 && at < names.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${number(value, at && value < 100 ? 1 : 0)}\u00a0${names[at]}`;
}

export const bandwidth = (bytesPerSecond) => scaled(bytesPerSecond * 8, units().bits);

export const bytes = (value) => scaled(value, units().bytes);

// Two parts at most: "2 h 5 min".
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [whole % 60, Math.floor(whole / 60) % 60, Math.floor(whole / 3600) % 24, Math.floor(whole / 86400)];
  const top = parts.findLastIndex((part) => part > 0);
  if (top < 1) return `${whole}\u00a0${units().spans[0]}`;
  const shown = [top, top - 1].filter((at) => at === top || parts[at] > 0);
  return shown.map((at) => `${parts[at]}\u00a0${units().spans[at]}`).join(' ');
}

export const moment = (seconds) =>
  new Intl.DateTimeFormat(currentLanguage(), { dateStyle: 'medium', timeStyle: 'short' }).format(seconds * 1000);

export const day = (seconds) =>
  new Intl.DateTimeFormat(currentLanguage(), { dateStyle: 'medium' }).format(seconds * 1000);
