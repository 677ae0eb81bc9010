// The whole of the page: who asks, where one is, and what is the case everywhere.

import { Action, hindrance, Me, Questions } from './act.js';
import { onAnswers, Problem, segment } from './api.js';
import { difference } from './clock.js';
import { useFavicon } from './favicon.js';
import { Keys, useKeys } from './keys.js';
import * as live from './live.js';
import { Login, Logout } from './login.js';
import * as look from './look.js';
import { Ago, Head, Loading, Time, Trouble } from './parts.js';
import * as router from './router.js';
import { Search } from './search.js';
import { html, render, useEffect, useErrorBoundary, useState } from './html.js';
import { Planners, Queues, Workers } from './views/crew.js';
import { Dead } from './views/dead.js';
import { Doctor } from './views/doctor.js';
import { Job, MISSED } from './views/job.js';
import { Jobs, scheduled } from './views/jobs.js';
import { Overview } from './views/overview.js';
import { Run } from './views/run.js';
import { Runs } from './views/runs.js';
import { Shard } from './views/shard.js';
import { Calendars, Log, Unreadable } from './views/site.js';
import { command, span } from './words.js';

const { Link, useRoute } = router;

const PAGES = [
  ['/', 'Overview'],
  ['/runs', 'Runs'],
  ['/jobs', 'Jobs'],
  ['/dead', 'Dead letters'],
  ['/queues', 'Queues'],
  ['/workers', 'Workers'],
  ['/calendars', 'Calendars'],
  ['/unreadable', 'Unreadable'],
  ['/log', 'Log'],
  ['/planners', 'Planners'],
  ['/doctor', 'Doctor'],
];

const LISTS = { runs: Runs, jobs: Jobs, dead: Dead, queues: Queues, workers: Workers, calendars: Calendars, unreadable: Unreadable, log: Log, planners: Planners, doctor: Doctor };

// What belongs to a run or a job stands on a tab of its page; by the API's path, which is what people write, it is found too.
// Each path with its tab; none: it stands above the tabs.
const TABS = {
  runs: { grid: 'grid', shards: 'shards', audit: 'audit', workers: 'grid' },
  jobs: { runs: 'runs', fires: 'fires', definition: 'definition', backfills: 'backfills', next: null, why: 'fires' },
};

// Lists that the API has where the id of a run stands: what they tell is on the page of runs.
const OF_RUNS = ['waiting', 'waits'];

function led({ parts: [first, second, third, slice, ...rest], query }) {
  if (first === 'runs' && !third && OF_RUNS.includes(second)) return '/runs?state=running';
  if (first === 'calendars' && second && !third) return `/calendars?${new URLSearchParams({ ...query, name: second })}`;
  if (!third || rest.length || !Object.hasOwn(TABS, first) || !Object.hasOwn(TABS[first], third)) return null;
  if (slice !== undefined && third !== 'shards') return null;
  const tab = TABS[first][third];
  const said = new URLSearchParams({ ...query, ...(tab && { tab }), ...(slice !== undefined && { slice }) }).toString();
  return `/${first}/${segment(second)}${said && `?${said}`}`;
}

function Led({ to }) {
  useEffect(() => router.go(to, { replace: true }), [to]);
  return html`<${Loading} />`;
}

function Page({ route }) {
  // A fault of ours in one page leaves the others.
  const [fault] = useErrorBoundary();
  if (fault) return html`<${Head} title="This page is broken" /><${Trouble} problem=${new Problem({ title: 'A fault of the console', detail: String(fault) })} />`;
  const [first, second, third, ...rest] = route.parts;
  if (!first) return html`<${Overview} />`;
  const to = led(route);
  if (to) return html`<${Led} to=${to} />`;
  if (first === 'runs' && third === 'shards' && rest.length === 2) return html`<${Shard} key=${route.path} run=${second} slice=${rest[0]} page=${rest[1]} kind=${route.query.kind} />`;
  if (first === 'runs' && second && !third) return html`<${Run} key=${second} id=${second} />`;
  if (first === 'jobs' && second && !third) return html`<${Job} key=${second} name=${second} />`;
  const List = !second && Object.hasOwn(LISTS, first) && LISTS[first];
  return List ? html`<${List} key=${first} />` : html`<${Head} title="There is no such page." /><p><${Link} to="/">Overview<//></p>`;
}

// How long something has been so before it is said: one answer that is lost is no news.
function useLasting(is, after = 1_000) {
  const [lasts, set] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => set(is), is ? after : 0);
    return () => clearTimeout(timer);
  }, [is]);
  return is && lasts;
}

function Freeze({ pause, me }) {
  return html`<div class="banner is-paused" role="status"><span aria-hidden="true">‖</span><p><strong>All schedules are frozen</strong> by ${pause.by}, <${Ago} at=${pause.since} />: ${pause.note}${pause.until && html`; until <${Time} at=${pause.until} />`}.
      Nothing fires; open runs go on.</p>
    ${!hindrance(me, 'operator') && html`<${Action} label="Thaw" title="Let all jobs fire again?" says="Save those that are paused one by one."
      count=${() => scheduled((one) => (one ? 'fires again' : 'fire again'))} counts=${[]}
      fields=${[{ name: 'missed', label: 'Fires that were held back', options: MISSED }]}
      order=${(values) => ({ method: 'DELETE', path: `/freeze${values.missed && `?missed=${values.missed}`}` })}
      command=${(values) => command(['job', 'resume', '--all'], [['--missed', values.missed]])} done=${() => 'They fire again.'} />`}</div>`;
}

function Banners({ answers, me, planners, pauses, about }) {
  const none = Boolean(planners.data && answers === true && !planners.data.items.some((planner) => planner.leads));
  const leaderless = useLasting(none, 250);
  const away = useLasting(answers === false);
  const brokerless = answers === true && about.data && !about.data.broker;
  const untold = planners.problem ?? pauses.problem;
  const stale = useLasting(Boolean(untold) && answers === true);
  const freeze = pauses.data?.items.find((pause) => !pause.job);
  return html`<div class="banners" aria-live="polite">
    ${away && html`<div class="banner is-trouble"><span aria-hidden="true">✕</span><p><strong>Disconnected.</strong> This planner does not answer: what is shown is as it was. The page tries again by itself; another planner would answer the same.</p></div>`}
    ${brokerless && html`<div class="banner is-trouble"><span aria-hidden="true">!</span><p><strong>The broker is away.</strong> What is shown is as it was.</p></div>`}
    ${stale && untold && !brokerless && html`<div class="banner is-trouble"><span aria-hidden="true">!</span><p><strong>Who leads and what is paused cannot be told.</strong> What is shown of it is as it was: ${untold.message}</p></div>`}
    ${leaderless && html`<div class="banner is-trouble"><span aria-hidden="true">!</span><p><strong>No planner leads just now.</strong> What was issued goes on; one that stands by takes over within seconds.</p></div>`}
    ${me.readOnly && about.data && html`<div class="banner"><span aria-hidden="true">i</span><p><strong>Read-only.</strong> This planner changes nothing.</p></div>`}
    ${freeze && html`<${Freeze} pause=${freeze} me=${me} />`}
  </div>`;
}

function Menu({ route, session, turn, search, keys }) {
  const [open, set] = useState(false);
  const here = route.parts[0] ? `/${route.parts[0]}` : '/';
  useEffect(() => set(false), [route.path]);
  const link = ([to, name]) => html`<li><${Link} to=${to} aria-current=${to === here ? 'page' : undefined}>${name}<//></li>`;
  return html`<header class="top"><${Link} to="/" class="brand"><span class="mark4" aria-hidden="true"><i></i><i></i><i></i><i></i></span>Gridloom<//>
    <button type="button" class="quiet menu-button" aria-expanded=${open ? 'true' : 'false'} aria-controls="menu" onClick=${() => set(!open)}>Menu</button>
    <nav id="menu" class=${open ? 'open' : ''} aria-label="Pages"><ul>${PAGES.map(link)}</ul></nav>
    <div class="tools">
      <button type="button" class="quiet" onClick=${search} title="Search (/)" aria-keyshortcuts="/">Search <kbd>/</kbd></button>
      <button type="button" class="quiet" onClick=${turn} title="Light or dark (t)" aria-label="Light or dark">◐</button>
      <button type="button" class="quiet" onClick=${keys} title="Keys (?)" aria-label="Keys">?</button>
      ${session?.tokens && html`<${Logout} session=${session} />`}
    </div></header>`;
}

function App() {
  const route = useRoute();
  const [answers, heard] = useState(true);
  const [dialog, show] = useState(null);
  useEffect(() => onAnswers(heard), []);
  const about = live.useLive('/about', { every: 5_000 });
  // Who is nobody asks only who they are: a session that another tab begins is one here, too.
  const isNobody = answers === 'token' || about.problem?.kind === 'unauthorized';
  const unless = (path) => (isNobody ? null : path);
  // A takeover takes a few seconds, and is to be seen.
  const planners = live.useLive(unless('/planners'), { every: 1_000 });
  const pauses = live.useLive(unless('/pauses'));
  const dead = live.useLive(unless('/runs?dead=true&limit=1'), { every: 10_000 });
  const late = live.useLive(unless('/alarms'), { every: 10_000 });
  const session = about.data?.session;
  const me = { role: session?.role ?? 'viewer', readOnly: about.data?.read_only ?? true };
  const leads = planners.data?.items.some((planner) => planner.leads);
  const untold = [planners, dead, late].some(({ data, problem }) => problem && !data);
  const trouble = dead.data?.items.length > 0 || late.data?.items.length > 0 || leads === false || untold || about.data?.broker === null;
  useFavicon(answers === false ? 'away' : trouble ? 'trouble' : 'fine');
  useEffect(() => {
    const page = PAGES.find(([to]) => to === `/${route.parts[0] || ''}`);
    document.title = [route.parts[1], page?.[1], about.data?.namespace ?? 'Gridloom'].filter(Boolean).join(' · ');
  }, [route.path, about.data?.namespace]);
  const does = { '/': () => show('search'), '?': () => show('keys'), t: () => look.turn() };
  useKeys(does);
  if (isNobody) {
    return html`<${Login} done=${() => { heard(true); about.again(); }} />`;
  }
  return html`<${Me.Provider} value=${me}>
    <a class="skip" href="#main">To the content</a>
    <${Menu} route=${route} session=${session} turn=${does.t} search=${does['/']} keys=${does['?']} />
    <${Banners} answers=${answers} me=${me} planners=${planners} pauses=${pauses} about=${about} />
    <main id="main" tabindex="-1">${about.data || about.problem ? html`<div class="stack"><${Page} key=${route.path} route=${route} /></div>` : html`<${Loading} />`}</main>
    <footer class="foot faint small">${about.data && html`<span>${about.data.namespace}</span><span>planner ${about.data.planner}, ${about.data.version}</span>
      <span>${session.name}, ${session.role}</span>
      ${difference() !== 0 && html`<span>the clock here is ${span(Math.abs(difference()) / 1_000)} ${difference() < 0 ? 'ahead of' : 'behind'} the planner's</span>`}`}</footer>
    <${Questions} key=${route.path} />
    ${dialog === 'search' && html`<${Search} pages=${PAGES} close=${() => show(null)} />`}
    ${dialog === 'keys' && html`<${Keys} close=${() => show(null)} />`}
  <//>`;
}

look.apply();
router.listen();
live.listen();
render(html`<${App} />`, document.getElementById('app'));
