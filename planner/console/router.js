// Where one is: the path names what is shown, the query how a list is filtered and where it goes on. So a page can be
// sent to somebody, and the browser's own keys lead back.

import { BASE } from './api.js';
import { html, useEffect, useState } from './html.js';

const listeners = new Set();

// What cannot be decoded names no page, and is left as it is.
function decoded(path) {
  try {
    return path.split('/').filter(Boolean).map(decodeURIComponent);
  } catch {
    return [path];
  }
}

// A slash at the end names the same page.
function here() {
  const path = location.pathname.slice(BASE.length).replace(/\/+$/, '') || '/';
  return { path, parts: decoded(path), query: Object.fromEntries(new URLSearchParams(location.search)) };
}

function moved() {
  const now = here();
  listeners.forEach((listener) => listener(now));
}

export function go(to, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', BASE + to);
  moved();
  if (!replace) scrollTo(0, 0);
}

// The same page with other words in its query; what is empty is left out.
export function refine(changes, { replace = false } = {}) {
  const { path, query } = here();
  const all = Object.entries({ ...query, after: '', ...changes }).filter(([, value]) => value);
  const text = new URLSearchParams(all).toString();
  history[replace ? 'replaceState' : 'pushState'](null, '', BASE + path + (text && `?${text}`));
  moved();
}

export function useRoute() {
  const [route, set] = useState(here);
  useEffect(() => {
    listeners.add(set);
    return () => listeners.delete(set);
  }, []);
  return route;
}

export const Link = ({ to, children, ...rest }) => html`<a href=${BASE + to} ...${rest}>${children}</a>`;

// Links of this page lead on without loading it anew, unless another tab is wanted. A place in what is shown already is
// for the browser to find.
function follow(event) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const anchor = event.target.closest('a[href]');
  if (!anchor || anchor.target || anchor.origin !== location.origin) return;
  if (!anchor.pathname.startsWith(`${BASE}/`) || anchor.pathname.startsWith(`${BASE}/api/`)) return;
  if (anchor.hash && anchor.pathname === location.pathname && anchor.search === location.search) return;
  event.preventDefault();
  go(anchor.pathname.slice(BASE.length) + anchor.search);
}

export function listen() {
  const { path } = here();
  if (location.pathname !== BASE + path) history.replaceState(null, '', BASE + path + location.search + location.hash);
  addEventListener('popstate', moved);
  addEventListener('click', follow);
}
