// All texts of the test page, in English and Russian.
import { inLanguage } from './language.js';

const TEXTS = {
  title: ['Call test', 'Проверка звонка'],
  testing: ['Testing…', 'Идёт проверка…'],
  progress: ['It takes half a minute at most.', 'Это займёт не больше полуминуты.'],
  works: ['Calls work from here', 'Звонки отсюда работают'],
  limited: ['Calls work from here, but not at their best', 'Звонки отсюда работают, но хуже обычного'],
  fails: ['Calls do not work from here', 'Звонки отсюда не работают'],
  help: ['What to do', 'Что делать'],
  again: ['Test again', 'Проверить ещё раз'],
  pair: ['The two of you', 'Вдвоём'],
  pairWait: ['Open this link on the other phone too, to test a call between you.', 'Откройте ссылку и на втором телефоне: проверим звонок между вами.'],
  pairTesting: ['Trying a call between you…', 'Пробуем звонок между вами…'],
  pairWorks: ['A call between you works.', 'Звонок между вами проходит.'],
  pairFails: ['A call between you does not work.', 'Звонок между вами не проходит.'],
  details: ['Details', 'Подробности'],
  detailsHint: ['One way that works is enough.', 'Достаточно одного рабочего пути.'],
  facts: ['Test {id}: {verdict}. Your address: {address}', 'Проверка {id}: {verdict}. Ваш адрес: {address}'],
  way: ['Way', 'Путь'],
  result: ['Result', 'Итог'],
  found: ['Answer after', 'Ответ через'],
  rtt: ['There and back', 'Туда и обратно'],
  loss: ['Lost', 'Потери'],
  ms: ['{n} ms', '{n} мс'],
  good: ['works', 'работает'],
  blocked: ['blocked', 'закрыт'],
  silent: ['no answer', 'нет ответа'],
  mute: ['no sound', 'нет звука'],
  untrusted: ['not trusted', 'нет доверия'],
  refused: ['refused', 'отказ'],
  network: ['Try another network, such as mobile data, or turn off a VPN.', 'Попробуйте другую сеть, например мобильную, или выключите VPN.'],
  operator: ['Only the server’s owner can fix this, and sees this result already.', 'Исправить это может владелец сервера. Результат он уже видит.'],
  later: ['Test again in a few minutes.', 'Проверьте ещё раз через несколько минут.'],
  newLink: ['Ask for a new link.', 'Попросите новую ссылку.'],
  online: ['Are you online? Then test again.', 'Проверьте интернет и попробуйте ещё раз.'],
  both: ['Does a call fail all the same? Open this link on the other phone.', 'Звонок всё равно не проходит? Откройте ссылку на втором телефоне.'],
  clock: ['Set the right date and time.', 'Поставьте верные дату и время.'],
  allow: ['If the browser asks about the local network, allow it.', 'Если браузер спросит про локальную сеть, разрешите.'],
  browser: ['Use another browser, without extensions.', 'Откройте в другом браузере, без расширений.'],
  reopen: ['Close and reopen the app that you call with.', 'Закройте и снова откройте приложение для звонков.'],
};

// For each verdict why, and what helps (keys of the texts).
const VERDICTS = {
  ok: ['Sound and video get through.', 'Звук и видео доходят.', 'both'],
  'udp-blocked': ['This network blocks UDP, the fast way. Calls take a detour and may stutter.', 'Сеть не пропускает UDP, быстрый путь. Звонок идёт в обход и может прерываться.', 'network'],
  'only-443': ['This network lets only port 443 through. Calls take a detour and may stutter.', 'Сеть пропускает только порт 443. Звонок идёт в обход и может прерываться.', 'network'],
  'relay-blocked': ['The server’s relay ports are closed. Some calls stay silent.', 'Порты ретрансляции сервера закрыты. Не во всех звонках будет звук.', 'operator'],
  'cert-untrusted': ['This device does not trust the server’s certificate.', 'Устройство не доверяет сертификату сервера.', 'clock', 'operator'],
  dns: ['The server’s name leads nowhere from here.', 'Имя сервера отсюда никуда не ведёт.', 'network', 'operator'],
  unreachable: ['The server is not reached. The network, a VPN or a firewall is in the way.', 'Связи с сервером нет: мешает сеть, VPN или брандмауэр.', 'network'],
  'proxy-address': ['The server sees a proxy in place of you.', 'Вместо вас сервер видит прокси.', 'operator'],
  'local-address': ['The server’s name leads into a home network.', 'Имя сервера ведёт в домашнюю сеть.', 'allow', 'network', 'operator'],
  capacity: ['The server takes no more calls now.', 'Сервер сейчас больше звонков не принимает.', 'later', 'operator'],
  credentials: ['The server refuses the password of this test.', 'Сервер не принимает пароль этой проверки.', 'again', 'operator'],
  'secret-changed': ['The server’s secret was changed, and your app has the old one.', 'Секрет сервера сменили, а у приложения старый.', 'reopen', 'operator'],
  'failed-logins': ['The server has refused an app in your network.', 'Сервер отказал приложению в вашей сети.', 'reopen', 'operator'],
  'ipv6-only': ['This network has IPv6 only.', 'В этой сети только IPv6.', 'network'],
  'pair-failed': [...TEXTS.pairFails, 'again', 'operator'],
  lossy: ['Sound comes late or with gaps.', 'Звук запаздывает или прерывается.', 'network'],
  'no-webrtc': ['This browser has no WebRTC.', 'В этом браузере нет WebRTC.', 'browser'],
  ended: ['This link has ended', 'Ссылка больше не действует', 'newLink'],
  busy: ['Too many tests at once', 'Слишком много проверок сразу', 'later'],
  lost: ['The server does not answer', 'Сервер не отвечает', 'online'],
};
// The person reads the same.
Object.assign(VERDICTS, {
  'no-answer': VERDICTS.unreachable, quota: VERDICTS.capacity, draining: VERDICTS.capacity, slow: VERDICTS.lossy, untold: VERDICTS.lost,
});

const RESULTS = { ok: 'good', 'relay-blocked': 'mute', 'cert-untrusted': 'untrusted', dns: 'silent', 'no-answer': 'silent' };

export const text = inLanguage(TEXTS);
const reason = inLanguage(VERDICTS);

export const resultOf = (verdict) => text(RESULTS[verdict] ?? (verdict.endsWith('-blocked') ? 'blocked' : 'refused'));
export const reasonsFor = (verdicts) => [...new Set(verdicts.map((one) => reason(one)))];
export const helpFor = (verdicts) => [...new Set(verdicts.flatMap((one) => VERDICTS[one].slice(2)))].map((key) => text(key));
