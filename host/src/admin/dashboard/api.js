// The admin API and its token. The token comes from the URL fragment or the form, and stays in this tab.

const KEY = 'wharf.token';

/** Tells `unauthorized` when the host refuses the token. */
export const session = new EventTarget();

/** A failure that the host explained (RFC 9457). */
export class Problem extends Error {
  constructor(status, { title, detail } = {}) {
    super(detail || title || `the host answered ${status}`);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value.replace(/[^!-~]/g, '')), // what a header can carry
  forget: () => sessionStorage.removeItem(KEY),
};

/** Moves a token out of the address bar, so that it is in no history, bookmark or screenshot. */
export function takeTokenFromFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get('token');
  if (given === null) return false;
  fragment.delete('token');
  token.set(given);
  const rest = fragment.toString();
  history.replaceState(null, '', location.pathname + (rest ? `#${rest}` : ''));
  return true;
}

/** Asks the host; answers the Response, or throws a Problem. */
export async function open(path, { headers, ...options } = {}) {
  const used = token.get();
  const response = await fetch(`/api/${path}`, { cache: 'no-store', ...options, headers: { ...headers, authorization: `Bearer ${used}` } });
  if (response.ok) return response;
  const problem = new Problem(response.status, await response.json().catch(() => ({})));
  if (response.status === 401 && used === token.get()) session.dispatchEvent(new Event('unauthorized'));
  throw problem;
}

/** Reads JSON. */
export const get = async (path, options) => (await open(path, options)).json();

/** Changes something; answers JSON, or null where there is none. */
export async function send(method, path, body) {
  const options = body === undefined ? { method } : { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await open(path, options);
  return response.status === 204 ? null : response.json().catch(() => null);
}

/** The path of a service in the API. */
export const pathOf = (name) => `services/${encodeURIComponent(name)}`;
