// Who asks: a token, which the planner keeps in a cookie that no script can read.

import { ask, Problem } from './api.js';
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
      say({ problem: problem instanceof Problem ? problem : new Problem({ detail: String(problem) }) });
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

export async function logout() {
  await ask('DELETE', '/session');
  location.reload();
}
