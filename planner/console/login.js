// Who asks: a token, which the planner keeps in a cookie that no script can read.

import { ask, problemOf } from './api.js';
import { again } from './live.js';
import { Trouble } from './parts.js';
import { html, useState } from './html.js';

export function Login({ done }) {
  const [token, set] = useState('');
  const [state, say] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    say({ busy: true });
    try {
      await ask('POST', '/session', { body: { token: token.trim() } });
      done();
      again();
    } catch (problem) {
      say({ problem: problemOf(problem) });
    }
  };
  return html`<main class="login"><form class="panel" onSubmit=${submit}>
    <h1>Gridloom</h1>
    <p>This planner asks for a token. <code>gridloom token NAME --role ROLE</code> makes one.</p>
    <label class="field"><span>Token</span>
      <input type="password" name="token" value=${token} onInput=${(event) => set(event.target.value)} placeholder="glt_…" autocomplete="current-password" required /></label>
    ${state.problem && html`<${Trouble} problem=${state.problem} />`}
    <div class="buttons"><button type="submit" class="strong" disabled=${state.busy}>Log in</button></div>
  </form></main>`;
}

// Whoever is not logged out is told so: somebody else may sit there next.
export function Logout({ session }) {
  const [problem, say] = useState(null);
  const leave = async () => {
    try {
      await ask('DELETE', '/session');
      location.reload();
    } catch (failed) {
      say(problemOf(failed));
    }
  };
  return html`<button type="button" class="quiet" onClick=${leave} title=${`${session.name}, ${session.role}`}>Log out</button>
    ${problem && html`<span class="bad small" role="alert">! not logged out: ${problem.message}</span>`}`;
}
