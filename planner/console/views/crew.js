// Queues, workers and planners: what waits, and who is there for it.

import { useLive } from '../live.js';
import { Ago, Bar, Command, Empty, Head, Loaded, Panel, Table } from '../parts.js';
import { State } from '../states.js';
import { html } from '../html.js';
import { command, count, plural, span } from '../words.js';

const oldest = (queue) => (queue.oldest_s === null || queue.oldest_s === undefined ? '–' : span(queue.oldest_s));

// Tiles that have to be done, of a queue or of one handler of it: what a worker holds that is gone comes again, and waits as well.
const left = (of) => of.pending + of.in_flight;

// What of a queue nobody takes: the handlers that tiles want, and no worker has.
export const lacking = (queue) => queue.handlers.filter((of) => of.workers === 0 && left(of) > 0);

// What of a queue waits for workers that are not there, as sentences.
export function unmanned(queue) {
  const wait = (of) => `Queue ${queue.queue}: ${plural(left(of), 'tile waits', 'tiles wait')}`;
  if (left(queue) > 0 && queue.workers === 0) return [`${wait(queue)}, and no worker is there.`];
  return lacking(queue).map((of) => `${wait(of)} for handler ${of.handler}, and no worker has it.`);
}

function standing(queue) {
  if (left(queue) === 0) return html`<${State} state="fine">nothing waits<//>`;
  if (queue.workers === 0) return html`<${State} state="trouble">no worker<//>`;
  if (lacking(queue).length) return html`<${State} state="trouble">no worker with ${lacking(queue).map((of) => of.handler).join(', ')}<//>`;
  return html`<${State} state="running">at work<//>`;
}

const Handlers = ({ queue }) => html`<${Panel} title=${`Queue ${queue.queue}`} aside="by the handler that tiles want">
  <${Table} label=${`Handlers of ${queue.queue}`} items=${queue.handlers} columns=${[
    ['Handler', (of) => html`<span class="id">${of.handler}</span>`, 'grow'],
    ['Pending', (of) => count(of.pending), 'number'],
    ['In flight', (of) => count(of.in_flight), 'number'],
    ['Redelivered', (of) => count(of.redelivered), 'number'],
    ['Workers', (of) => (of.workers === 0 && left(of) > 0 ? html`<span class="bad">! none</span>` : count(of.workers)), 'number'],
  ]} /><//>`;

export function Queues() {
  const live = useLive('/queues');
  return html`<${Head} title="Queues" sub="Named pools of workers, and the tiles that wait for them." />
    <${Loaded} live=${live}>${({ items }) => items.length === 0
      ? html`<${Empty} title="There is no queue yet.">The first run, or the first worker, makes one.<//>`
      : html`<${Table} label="Queues" items=${items} id=${(queue) => queue.queue} columns=${[
          ['Queue', (queue) => html`<span class="id">${queue.queue}</span>`],
          ['State', standing, 'grow'],
          ['Pending', (queue) => count(queue.pending), 'number'],
          ['In flight', (queue) => count(queue.in_flight), 'number'],
          ['Oldest', oldest, 'number'],
          ['Redelivered', (queue) => count(queue.redelivered), 'number'],
          ['Workers', (queue) => count(queue.workers), 'number'],
        ]} />
        ${items.filter((queue) => queue.handlers.length > 0).map((queue) => html`<${Handlers} queue=${queue} />`)}`}<//>
    <${Command} text=${command(['queues'])} />`;
}

function being(worker) {
  if (!worker.answers) return html`<${State} state="silent">silent<//>`;
  if (worker.trouble) return html`<${State} state="trouble">${worker.trouble}<//>`;
  if (worker.stopping) return html`<${State} state="waiting">stopping<//>`;
  return html`<${State} state="fine">answers<//>`;
}

const Load = ({ worker }) => html`<div class="progress"><${Bar} whole=${worker.capacity} parts=${[['issued', worker.in_flight]]}
  label=${`${worker.in_flight} of ${worker.capacity} tiles`} /><span class="small">${count(worker.in_flight)} / ${count(worker.capacity)}</span></div>`;

export function Workers() {
  const live = useLive('/workers');
  return html`<${Head} title="Workers" sub="Those that answer, and those that fell silent without a goodbye." />
    <${Loaded} live=${live}>${({ items, left_out: left }) => html`
      ${items.length === 0 ? html`<${Empty} title="No worker is there.">Nothing is executed until one is: <code>gridloom worker</code>, or one of your own.<//>`
        : html`<${Table} label="Workers" items=${items} id=${(worker) => worker.session} columns=${[
          ['Worker', (worker) => html`<span class="id">${worker.worker}</span>`],
          ['State', being],
          ['Tiles', (worker) => html`<${Load} worker=${worker} />`],
          ['Queues', (worker) => worker.queues.join(', ')],
          ['Handlers', (worker) => worker.handlers.join(', '), 'grow'],
          ['Seen', (worker) => html`<${Ago} at=${worker.last_seen} />`],
          ['Started', (worker) => html`<${Ago} at=${worker.started_at} />`],
          ['Version', (worker) => worker.version],
        ]} />`}
      ${left.length > 0 && html`<p class="bad">! ${plural(left.length, 'registration')} cannot be read: ${left[0].reason}</p>`}`}<//>
    <${Command} text=${command(['workers'])} />`;
}

function part(planner) {
  const files = planner.files && html`<span class="bad small block">! Its API: ${planner.files}</span>`;
  return html`${office(planner)}${files}`;
}

function office(planner) {
  if (planner.trouble) return html`<${State} state="trouble">${planner.trouble}<//>`;
  if (planner.leads) return html`<${State} state="fine">leads, term ${planner.term}<//>`;
  return html`<${State} state="waiting">stands by<//>`;
}

export function Planners() {
  const live = useLive('/planners');
  return html`<${Head} title="Planners" sub="One leads: it opens runs, issues their shards and closes them. Others stand by." />
    <${Loaded} live=${live}>${({ items }) => html`
      ${!items.some((planner) => planner.leads) && html`<div class="note is-trouble" role="status"><strong>No planner leads just now</strong>
        <p>What was issued goes on. One that stands by takes over within seconds.</p></div>`}
      <${Table} label="Planners" items=${items} id=${(planner) => planner.session} columns=${[
        ['Planner', (planner) => html`<span class="id">${planner.planner}</span>`],
        ['State', part, 'grow'],
        ['Started', (planner) => html`<${Ago} at=${planner.started_at} />`],
        ['Version', (planner) => planner.version],
      ]} />`}<//>
    <${Command} text=${command(['doctor'])} />`;
}
