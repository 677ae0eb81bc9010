// How the API is asked: one way for all pages. What cannot be done comes as a Problem, whoever says so: the API, or
// nobody, because there is no way to it.

import { heard } from './clock.js';
import { read, write } from './json.js';

// What stands before all paths: this file is at BASE/console/api.js.
export const BASE = new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const ROOT = `${BASE}/api/v1`;
// The API answers within 30 s, or says that it does not.
const PATIENCE_MS = 35_000;

export class Problem extends Error {
  constructor(told, status) {
    super(told.detail || told.title || 'it cannot be done');
    this.kind = (told.type || '').replace('urn:gridloom:', '') || 'internal';
    this.title = told.title || 'Problem';
    this.status = status;
    this.faults = told.faults || [];
    this.revision = told.revision ?? null;
  }

  // Whether it is nobody's fault here, and passes.
  get passes() {
    return ['disconnected', 'unavailable', 'timed-out'].includes(this.kind);
  }
}

// What was thrown, as one: a fault of the page is told, too.
export const problemOf = (thrown) => (thrown instanceof Problem ? thrown : new Problem({ detail: String(thrown) }));

const away = () =>
  new Problem({
    type: 'disconnected',
    title: 'No connection',
    detail: 'this planner does not answer; the page tries again by itself',
  });

// Who wants to know whether the planner answers (true), wants a token ('token'), or is silent (false).
const listeners = new Set();
let answers = true;

export function onAnswers(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(now) {
  if (now === answers) return;
  answers = now;
  listeners.forEach((listener) => listener(now));
}

// A query without what is not said.
export function query(fields) {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = new URLSearchParams(said).toString();
  return text && `?${text}`;
}

export const segment = encodeURIComponent;

async function send(method, path, { body, headers } = {}) {
  const all = { accept: 'application/json', ...headers };
  if (method !== 'GET') all['x-gridloom'] = 'console';
  if (body !== undefined) all['content-type'] = 'application/json';
  try {
    const response = await fetch(ROOT + path, {
      method,
      headers: all,
      body: body === undefined ? undefined : write(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
      cache: 'no-store',
    });
    heard(response.headers.get('date'));
    return response;
  } catch {
    tell(false);
    throw away();
  }
}

async function told(response) {
  try {
    return await response.json();
  } catch {
    return { detail: `the answer was ${response.status} ${response.statusText}` };
  }
}

// An answer that breaks off is none: what was ordered may have been done.
async function whole(response, taken = (text) => text) {
  try {
    return taken(await response.text());
  } catch {
    tell(false);
    throw away();
  }
}

// The text of an answer, for whoever wants to know whether it is another one.
export async function text(path) {
  const response = await send('GET', path);
  await check(response, path);
  return whole(response);
}

async function check(response, path) {
  if (response.ok) return tell(true);
  const problem = new Problem(await told(response), response.status);
  tell(problem.kind === 'unauthorized' && path !== '/session' ? 'token' : true);
  throw problem;
}

// What an order comes to: what is told, and the revision that it left. `every`: as it is read.
export async function ask(method, path, { every, ...options } = {}) {
  const response = await send(method, path, options);
  await check(response, path);
  const etag = response.headers.get('etag');
  return { data: response.status === 204 ? null : await whole(response, (text) => read(text, { every })), etag };
}
